"""The text half of CLIP: picked out of checkpoints, and computing what open_clip's whole CLIP computes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from stit_vfx.errors import (
    JobFieldError,
    MissingPartError,
    PackDamagedError,
    PackFormatError,
    PackSourceError,
)
from stit_vfx.packs.schema import TextNet
from stit_vfx.text import TextSizes, library, load_text_net, text_state
from stit_vfx.text.prompts import prompts_of

SPEC = TextNet(arch="clip-text", file="text.safetensors", layers=2, heads=1)
State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class InFile:
    """A tensor that is read when it is asked for, as the pack room hands them out."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    tensor: torch.Tensor

    def read(self) -> torch.Tensor:
        return self.tensor


def kept(folder: Path, state: State) -> Path:
    save_file(text_state(state), folder / "text.safetensors")
    return folder


def test_embeddings_agree_with_open_clips_whole_clip(tmp_path: Path, clip: Any, state: State) -> None:
    prompts = [*prompts_of("a smiling face"), *prompts_of("Gesicht, 100 % ünïcode!")]
    ours = load_text_net(SPEC, kept(tmp_path, state)).embed(prompts)
    with torch.no_grad():
        theirs = clip.encode_text(library.open_clip().tokenize(prompts)).numpy()
    assert ours.shape == (160, 32)
    assert ours.dtype == np.float32
    assert np.abs(theirs).max() > 1
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


def test_gelu_is_what_pack_json_says(tmp_path: Path, state: State) -> None:
    folder = kept(tmp_path, state)
    quick = load_text_net(SPEC, folder).embed(["face"])
    exact = load_text_net(SPEC.model_copy(update={"quick_gelu": False}), folder).embed(["face"])
    assert 1e-4 < np.abs(quick - exact).max() < 0.5


@pytest.mark.parametrize(
    "named",
    [
        pytest.param(lambda name: name, id="OpenAI's names"),
        pytest.param(lambda name: f"module.{name}", id="below module."),
        pytest.param(lambda n: n if n.startswith(("visual.", "logit")) else f"text.{n}", id="open_clip's"),
        pytest.param(lambda name: f"module.text.{name}", id="open_clip's, below module."),
    ],
)
def test_every_public_layout_gives_the_same_state(state: State, named: Callable[[str], str]) -> None:
    found = text_state({named(name): tensor for name, tensor in state.items()})
    assert set(found) == {name for name in state if not name.startswith(("visual.", "logit"))}
    for name, tensor in found.items():
        assert torch.equal(tensor, state[name])


def test_an_archives_tensors_are_read_and_its_constants_are_not(state: State) -> None:
    stored = {name: InFile(each.dtype, tuple(each.shape), each) for name, each in state.items()}
    whole = {**stored, "input_resolution": InFile(torch.int64, (), torch.tensor(224))}
    mask = InFile(torch.float32, (77, 77), torch.zeros(77, 77))
    whole["transformer.resblocks.0.attn_mask"] = mask
    assert set(text_state(whole)) == set(text_state(state))


def test_half_precision_stays_half_and_is_computed_in_single(tmp_path: Path, state: State) -> None:
    found = text_state({name: tensor.half() for name, tensor in state.items()})
    assert {tensor.dtype for tensor in found.values()} == {torch.float16}
    save_file(found, tmp_path / "text.safetensors")
    assert load_text_net(SPEC, tmp_path).embed(["face"]).dtype == np.float32


def test_sizes_are_read_off_the_tensors(state: State) -> None:
    sizes = TextSizes.of({name: tuple(tensor.shape) for name, tensor in text_state(state).items()})
    assert sizes == TextSizes(layers=2, width=64, context=77, vocabulary=49408, dimensions=32)
    assert sizes.heads == 1
    assert sizes.shapes() == {name: tuple(tensor.shape) for name, tensor in text_state(state).items()}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"ln_final.bias": None}, "has no ln_final.bias"),
        ({"text_projection": None}, "has no text_projection"),
        ({"token_embedding.weight": None}, "not a CLIP with a text half"),
        ({"positional_embedding": torch.zeros(77)}, r"positional_embedding has the shape \(77,\)"),
        ({"positional_embedding": torch.zeros(77, 32)}, r"\(77, 32\) where \(77, 64\)"),
        ({"transformer.resblocks.1.mlp.c_fc.weight": torch.zeros(64, 64)}, r"c_fc.weight .*\(256, 64\)"),
        ({"transformer.resblocks.3.ln_1.bias": torch.zeros(64)}, r"has no .*resblocks\.2\..*and \d+ more"),
        ({"transformer.resblocks.900000000.ln_1.bias": torch.zeros(64)}, "has 900000001 layers"),
        ({"transformer.resblocks.0.ls_1.gamma": torch.zeros(64)}, "ls_1.gamma, which CLIP's text network"),
        ({"cls_emb": torch.zeros(64)}, "cls_emb, which CLIP's text network"),
        ({"ln_final.weight": torch.zeros(64, dtype=torch.int32)}, "ln_final.weight holds torch.int32"),
        ({"token_embedding.weight": torch.zeros(100, 64)}, "100 words, and CLIP's vocabulary 49408"),
        ({"token_embedding.weight": torch.zeros(49408, 40)}, "a width of 40 is no multiple of 64"),
    ],
)
def test_what_is_wrong_with_a_checkpoint_is_named(
    state: State, change: dict[str, torch.Tensor | None], told: str
) -> None:
    broken = {name: each for name, each in {**state, **change}.items() if each is not None}
    with pytest.raises(PackSourceError, match=told):
        text_state(broken)


def test_a_vision_network_alone_is_no_text_network(state: State) -> None:
    with pytest.raises(PackSourceError, match=r"token_embedding.*ViT-B-32\.pt"):
        text_state({name: each for name, each in state.items() if name.startswith("visual.")})


def test_a_pack_whose_numbers_do_not_fit_is_refused(tmp_path: Path, state: State) -> None:
    folder = kept(tmp_path, state)
    with pytest.raises(PackFormatError, match=r"has 2 layers of width 64; pack\.json says 3 layers"):
        load_text_net(SPEC.model_copy(update={"layers": 3}), folder)
    with pytest.raises(PackFormatError, match="5 heads"):
        load_text_net(SPEC.model_copy(update={"heads": 5}), folder)
    wrong = text_state(state) | {"ln_final.bias": torch.zeros(3)}
    save_file(wrong, folder / "text.safetensors")
    with pytest.raises(PackFormatError, match=r"ln_final.bias is \(3,\) where \(64,\)"):
        load_text_net(SPEC, folder)
    save_file({"a": torch.zeros(1)}, folder / "text.safetensors")
    with pytest.raises(PackFormatError, match="has no token_embedding"):
        load_text_net(SPEC, folder)
    (folder / "text.safetensors").write_bytes(b"nothing")
    with pytest.raises(PackDamagedError):
        load_text_net(SPEC, folder)


def test_a_text_longer_than_the_network_reads_is_an_error_and_not_cut(tmp_path: Path, state: State) -> None:
    net = load_text_net(SPEC, kept(tmp_path, state))
    assert net.embed([" ".join(["face"] * 75)]).shape == (1, 32)
    with pytest.raises(JobFieldError, match="takes 78 tokens, and the network reads 77"):
        net.embed([" ".join(["face"] * 76)])


def test_the_80_sentences_are_clips_own() -> None:
    prompts = prompts_of("a {strange} face")
    assert len(set(prompts)) == 80
    assert prompts[0] == "a bad photo of a a {strange} face."


def test_a_machine_without_open_clip_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    library.open_clip.cache_clear()
    monkeypatch.setattr(library.importlib, "import_module", absent)
    with pytest.raises(MissingPartError, match=r"open_clip does not start.*Install open_clip_torch"):
        library.open_clip()
    monkeypatch.undo()
    library.open_clip.cache_clear()
    library.open_clip()


OFFLINE = """
import socket, sys
from pathlib import Path
def refuse(*_, **__):
    raise SystemExit("the network was asked")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from stit_vfx.packs.schema import TextNet
import stit_vfx.text.moves, stit_vfx.bench, stit_vfx.pipeline
heavy = {"open_clip", "timm", "torchvision"} & set(sys.modules)
assert not heavy, heavy
from stit_vfx.text import load_text_net
net = load_text_net(TextNet(arch="clip-text", file="text.safetensors", layers=2, heads=1), Path(sys.argv[1]))
print(net.embed(["face"]).shape)
"""


def test_no_network_is_asked_and_open_clip_is_imported_only_to_load(tmp_path: Path, state: State) -> None:
    command = [sys.executable, "-W", "error", "-c", OFFLINE, str(kept(tmp_path, state))]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert run.stdout.strip() == "(1, 32)", run.stderr


@pytest.mark.slow
def test_a_full_size_tower_embeds_160_prompts_in_seconds(tmp_path: Path) -> None:
    # 1.4 s on two processor cores; the whole CLIP, which reads all 77 places, takes 7 s.
    package = library.open_clip()
    torch.manual_seed(1)
    vision = package.CLIPVisionCfg(layers=1, width=64, patch_size=32)
    whole = package.CLIP(512, vision, package.CLIPTextCfg(), quick_gelu=True).half().float().eval()
    half = text_state({name: tensor.half() for name, tensor in whole.state_dict().items()})
    assert sum(tensor.numel() * tensor.element_size() for tensor in half.values()) < 128e6
    save_file(half, tmp_path / "text.safetensors")
    net = load_text_net(TextNet(arch="clip-text", file="text.safetensors"), tmp_path)
    prompts = [*prompts_of("a smiling face"), *prompts_of("face")]
    start = time.perf_counter()
    found = net.embed(prompts)
    assert time.perf_counter() - start < 20
    with torch.no_grad():
        theirs = torch.cat([whole.encode_text(part) for part in package.tokenize(prompts).split(40)])
    np.testing.assert_allclose(found, theirs.numpy(), rtol=0, atol=1e-5)
