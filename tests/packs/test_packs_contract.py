"""The networks of a pack as documented for Python: shapes, kinds of arrays, bits, gradients, refusals."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import stit_vfx
from stit_vfx.errors import PackDamagedError, PackError, PackFormatError, StitError
from stit_vfx.gan.arcface import ArcFace
from stit_vfx.gan.bisenet import BiSeNet
from stit_vfx.gan.lpips import Lpips
from stit_vfx.packs.load import Pack, load_pack

DOCS = Path(__file__).parent.parent.parent / "docs" / "python.md"
PARTS = {
    "parser": ("bisenet", BiSeNet),
    "identity": ("arcface-ir-se50", ArcFace),
    "perceptual": ("lpips-alex", Lpips),
}


def record(folder: Path, **changes: Any) -> Path:
    """Lay changes over pack.json, and record every file's sum."""
    data = json.loads((folder / "pack.json").read_text()) | changes
    paths = sorted(folder.glob("*.safetensors"))
    data["sha256"] = {path.name: sha256(path.read_bytes()).hexdigest() for path in paths}
    (folder / "pack.json").write_text(json.dumps(data))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, make_pack: Any) -> Path:
    """The tiny pack with every other network at its published size, in half precision, of random weights."""
    made: Path = make_pack(tmp_path_factory.mktemp("packs") / "ffhq")
    torch.manual_seed(1)
    for name, (_, network) in PARTS.items():
        state = {key: t.half() if t.is_floating_point() else t for key, t in network().state_dict().items()}
        save_file(state, made / f"{name}.safetensors")
    parts = {name: {"arch": arch, "file": f"{name}.safetensors"} for name, (arch, _) in PARTS.items()}
    return record(made, name="ffhq", **parts)


@pytest.fixture(scope="module")
def pack(folder: Path) -> Pack:
    return stit_vfx.load_pack(folder)


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def test_z_becomes_rows_pulled_to_the_average_as_far_as_asked(pack: Pack) -> None:
    z = drawn(3, 32)
    ws, half, some = (
        pack.generator.map(z, psi, cutoff) for psi, cutoff in ((1, None), (0.5, None), (0.5, 4))
    )
    average = pack.generator.network.mapping.w_avg
    assert ws.shape == (3, 10, 32)
    torch.testing.assert_close(half, average + 0.5 * (ws - average))
    assert torch.equal(some[:, :4], half[:, :4])
    assert torch.equal(some[:, 4:], ws[:, 4:])


def test_rows_and_their_styles_give_one_image(pack: Pack) -> None:
    ws = pack.generator.map(drawn(2, 32))
    styles = pack.generator.styles(ws)
    assert len(styles) == 14
    assert all(style.shape[0] == 2 for style in styles)
    images = pack.generator.synthesize(ws)
    assert (images.shape, images.dtype) == ((2, 3, 64, 64), torch.float32)
    assert torch.equal(pack.generator.synthesize(styles), images)
    assert torch.equal(pack.generator.synthesize([style.numpy() for style in styles]), images)


def test_noise_is_the_generators_own_or_none(pack: Pack) -> None:
    ws = pack.generator.map(drawn(1, 32))
    strength = pack.generator.network.synthesis.b64.conv1.noise_strength
    strength.data.fill_(0.5)
    const, none = (pack.generator.synthesize(ws, noise=noise) for noise in ("const", "none"))
    assert not torch.equal(const, none)
    assert torch.equal(const, pack.generator.synthesize(ws, noise="const"))
    strength.data.zero_()
    assert torch.equal(pack.generator.synthesize(ws), none)
    with pytest.raises(PackError, match="none of const, none"):
        pack.generator.synthesize(ws, noise="random")  # type: ignore[arg-type]


def test_every_network_has_the_shapes_of_the_contract(pack: Pack) -> None:
    crops = np.tanh(drawn(2, 3, 256, 256))
    ws = pack.encoder.encode(crops)
    labels = pack.parser.parse(crops[:, :, :200])
    who = pack.identity.embed(crops[:, :, :112, :112])
    apart = pack.perceptual.distance(crops, crops[::-1])
    assert (ws.shape, ws.dtype) == ((2, 10, 32), torch.float32)
    assert (labels.shape, labels.dtype) == ((2, 200, 256), torch.int64)
    assert 0 <= labels.min() <= labels.max() <= 18
    torch.testing.assert_close(who.norm(dim=1), torch.ones(2))
    assert (who.shape, apart.shape) == ((2, 512), (2,))
    torch.testing.assert_close(pack.perceptual.distance(crops, crops), torch.zeros(2))
    assert not any(result.requires_grad for result in (ws, labels, who, apart))


def test_arrays_of_every_kind_give_the_same_bits(pack: Pack) -> None:
    z = drawn(2, 32).astype(np.float32)
    ws = pack.generator.map(z)
    for same in (torch.from_numpy(z), z.astype(np.float64), z[::-1][::-1]):
        assert torch.equal(pack.generator.map(same), ws)
    assert torch.equal(
        pack.generator.synthesize(ws.numpy().astype(np.float64)), pack.generator.synthesize(ws)
    )


def test_a_batch_changes_no_bits(pack: Pack) -> None:
    crops, ws = np.tanh(drawn(3, 3, 112, 112)), pack.generator.map(drawn(3, 32))

    def apart(images: np.ndarray) -> torch.Tensor:
        return pack.perceptual.distance(images, np.zeros_like(images))

    assert torch.equal(pack.generator.synthesize(ws)[1:2], pack.generator.synthesize(ws[1:2]))
    assert torch.equal(ws[1:2], pack.generator.map(drawn(3, 32)[1:2]))
    for compute in (pack.encoder.encode, pack.parser.parse, pack.identity.embed, apart):
        assert torch.equal(compute(crops)[1:2], compute(crops[1:2]))


def test_112_px_are_taken_as_they_are_and_others_in_the_middle(pack: Pack) -> None:
    from stit_vfx.gan.arcface import face_part

    crop = torch.from_numpy(np.tanh(drawn(1, 3, 256, 256))).float()
    ready = face_part(crop)
    assert ready.shape[-1] == 112
    assert torch.equal(pack.identity.embed(crop), pack.identity.embed(ready))


def test_gradients_reach_rows_and_styles_that_ask_for_them(pack: Pack) -> None:
    with torch.enable_grad():
        ws = pack.generator.map(drawn(2, 32)).requires_grad_()
        image = pack.generator.synthesize(ws)
        pack.perceptual.distance(image, torch.zeros_like(image)).sum().backward()
        styles = [style.detach().requires_grad_() for style in pack.generator.styles(ws)]
        pack.generator.synthesize(styles).square().sum().backward()
    assert ws.grad is not None
    assert (ws.grad.abs().sum(2) > 0).all()
    assert all(style.grad is not None and style.grad.abs().sum() > 0 for style in styles)
    assert not any(parameter.requires_grad for parameter in pack.model.network.parameters())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda p: p.generator.map(drawn(2, 31)), r"z: \(2, 31\) was given where \(N, 32\)"),
        (lambda p: p.generator.map("a face"), "z: str was given"),
        (lambda p: p.generator.synthesize(drawn(2, 32)), r"where \(N, 10, 32\)"),
        (lambda p: p.generator.synthesize([drawn(1, 16)]), "1 style vectors were given; .* takes 14"),
        (lambda p: p.encoder.encode(drawn(3, 256, 256)), r"where \(N, 3, N, N\)"),
        (lambda p: p.parser.parse(drawn(1, 1, 64, 64)), "images: "),
        (lambda p: p.identity.embed(drawn(0, 3, 112, 112)), "empty batch"),
        (lambda p: p.perceptual.distance(drawn(1, 3, 64, 64), drawn(2, 3, 64, 64)), "compared with"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(pack: Pack, call: Any, words: str) -> None:
    with pytest.raises(PackError, match=words):
        call(pack)


@pytest.mark.parametrize(
    "call",
    [
        lambda p: p.generator.map(drawn(1, 32)),
        lambda p: p.generator.styles(drawn(1, 12, 192)),
        lambda p: p.generator.synthesize(drawn(1, 12, 192)),
        lambda p: p.encoder.encode(drawn(1, 3, 256, 256)),
    ],
)
def test_the_built_in_pack_says_what_to_use_instead(built_in: Pack, call: Any) -> None:
    assert not built_in.encoder
    assert not built_in.generator
    with pytest.raises(StitError, match=r"stit_vfx\.edit_shot"):
        call(built_in)


@pytest.fixture(scope="module")
def built_in() -> Pack:
    return load_pack("builtin")


def test_a_pack_without_a_part_says_so(tiny: Path) -> None:
    (tiny / "encoder.safetensors").unlink()
    pack = load_pack(record(tiny, encoder=None))
    assert pack.parser is pack.perceptual is pack.identity is None
    assert not pack.encoder
    with pytest.raises(PackError, match=r"tiny has no encoder\. Find rows by optimisation"):
        pack.encoder.encode(drawn(1, 3, 256, 256))


# files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_a_changed_byte_of_any_file_is_refused(folder: Path, place: float) -> None:
    for path in sorted(folder.glob("*.safetensors")):
        data = bytearray(path.read_bytes())
        at = int(place * (len(data) - 1))
        data[at] ^= 1
        path.write_bytes(data)
        with pytest.raises(PackDamagedError, match=path.name):
            load_pack(folder)
        data[at] ^= 1
        path.write_bytes(data)
    assert load_pack(folder).name == "ffhq"


def test_networks_are_loaded_when_they_are_needed_and_let_go_of(folder: Path) -> None:
    pack = load_pack(folder)
    networks = (pack.networks.parser, pack.networks.perceptual, pack.networks.identity)
    assert not any(each.loaded for each in networks if each is not None)
    assert pack.identity is not None
    assert [each.loaded for each in networks if each is not None] == [False, False, True]
    first = pack.encoder.encode(np.zeros((1, 3, 256, 256)))
    encoder = pack.model.encoder
    pack.model.free_encoder()
    assert torch.equal(pack.encoder.encode(np.zeros((1, 3, 256, 256))), first)
    assert pack.model.encoder is not encoder


@pytest.mark.parametrize("part", ["encoder", "parser"])
def test_a_network_that_is_loaded_later_is_looked_at_when_the_pack_opens(
    tmp_path: Path, make_pack: Any, part: str
) -> None:
    folder = make_pack(tmp_path / "odd")
    if part == "parser":
        save_file(BiSeNet().state_dict(), folder / "parser.safetensors")
        record(folder, parser={"arch": "bisenet", "file": "parser.safetensors"})
    path = folder / f"{part}.safetensors"
    state = load_file(path)
    gone = sorted(state)[0]
    del state[gone]
    save_file(state, path)
    with pytest.raises(PackFormatError, match=f"has no tensor {gone}"):
        load_pack(record(folder))


def test_a_channel_table_and_a_psp_encoder_are_read_from_pack_json(tiny: Path) -> None:
    from stit_vfx.gan.stylegan2 import Generator, GeneratorConfig

    channels = (16, 12, 16, 8, 4)
    sizes = {"z_dim": 32, "w_dim": 32, "mapping_layers": 2, "mapping_lr": 0.02}
    network = Generator(GeneratorConfig(64, channels=channels, **sizes))
    save_file(network.state_dict(), tiny / "generator.safetensors")
    data = json.loads((tiny / "pack.json").read_text())
    generator = {"arch": "stylegan2", "file": "generator.safetensors", "resolution": 64, "num_ws": 10}
    record(
        tiny,
        generator={**generator, **sizes, "channels": channels},
        encoder={**data["encoder"], "arch": "psp"},
        directions={"smile": data["directions"]["smile"]},
    )
    pack = load_pack(tiny)
    z = drawn(1, 32)
    expected = network.synthesis(network.mapping(torch.from_numpy(z).float()))
    torch.testing.assert_close(pack.generator.synthesize(pack.generator.map(z)), expected)
    rows = pack.encoder.encode(np.zeros((1, 3, 256, 256)))
    heads = pack.model.encoder.styles
    assert pack.model.encoder.config.arch == "psp"
    assert len(heads) == rows.shape[1]
    record(tiny, generator={**generator, **sizes, "channels": channels[:-1]})
    with pytest.raises(PackFormatError, match=r"generator\.channels has 5 numbers"):
        load_pack(tiny)


# the page ---------------------------------------------------------------------------------------------------


def test_the_documented_example_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STIT_PACK_PATH", str(folder.parent))
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert len(blocks) == 2
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block.replace("steps=400", "steps=2"), names)
    assert names["edited"].shape == (2, 3, 64, 64)
    assert names["following"].shape == (1, 10, 32)
    assert "labels torch.Size([2, 64, 64])" in capsys.readouterr().out


def test_the_documented_table_names_every_call() -> None:
    page = DOCS.read_text()
    for name in ("map", "styles", "synthesize"):
        assert f"pack.generator.{name}(" in page
    for name in ("encoder.encode", "parser.parse", "identity.embed", "perceptual.distance", "directions["):
        assert f"pack.{name}" in page
