"""Directions, latent transformers and what text edits need, from their public files."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import public_files as files
import pytest
import torch
from safetensors.torch import load_file, save_file

from stit_vfx.errors import PackSourceError
from stit_vfx.packs.convert import convert
from stit_vfx.packs.directions import direction_rows, transformed_rows
from stit_vfx.packs.load import load_pack

ROWS, WIDTH = 8, 16
SMALL = {"z_dim": 16, "w_dim": 16, "mapping_layers": 2, "channel_base": 256, "channel_max": 16}
# 32 px: channels 16 16 16 8 at 4 8 16 32 px.
STYLES = [16, 16, 16, 16, 16, 16, 16, 16, 16, 8, 8]
CONVS = 16 + 2 * 16 + 2 * 16 + 16 + 8


@pytest.fixture
def generator(tmp_path: Path) -> Path:
    state = files.generator_state(32, **SMALL)
    return files.nvidia_pickle(tmp_path / "g.pkl", G_ema=files.persistent(state))


@pytest.fixture
def make(tmp_path: Path, generator: Path) -> Any:
    def convert_here(*sources: Path, name: str = "pack", **words: Any) -> Path:
        return convert([generator, *sources], name=name, out=tmp_path / "out", accept=True, **words)

    return convert_here


def directions(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "pack.json").read_text())["directions"]


def test_a_direction_of_equal_rows_is_one_of_w_at_the_published_factor(make: Any, tmp_path: Path) -> None:
    row = np.random.RandomState(0).standard_normal(WIDTH)
    np.save(tmp_path / "eyes_open.npy", np.tile(row, (ROWS, 1)))
    folder = make(tmp_path / "eyes_open.npy")
    said = directions(folder)["eyes_open"]
    assert (said["space"], said["title"], said["range"]) == ("w", "Eyes open", [-1.0, 1.0])
    found = load_pack(folder).directions["eyes_open"]
    # Strength 1 is factor 10, of which the published code took half.
    np.testing.assert_allclose(
        found.scale * direction_rows(found, ROWS), 10 / 2 * np.tile(row, (ROWS, 1)), 1e-6
    )


@pytest.mark.parametrize("shape", [(WIDTH,), (1, WIDTH), (1, ROWS, WIDTH)])
@pytest.mark.parametrize("ending", ["npy", "pt", "safetensors"])
def test_directions_come_in_many_shapes(
    make: Any, tmp_path: Path, shape: tuple[int, ...], ending: str
) -> None:
    array = np.broadcast_to(np.arange(1, WIDTH + 1, dtype=np.float64), shape).copy()
    path = tmp_path / f"smile.{ending}"
    if ending == "npy":
        np.save(path, array)
    elif ending == "pt":
        torch.save(torch.from_numpy(array), path)
    else:
        save_file({"anything": torch.from_numpy(array)}, path)
    folder = make(path)
    assert directions(folder)["smile"]["space"] == "w"
    stored = load_file(folder / "direction.smile.safetensors")
    torch.testing.assert_close(stored, {"smile": torch.arange(1, WIDTH + 1, dtype=torch.float32)})


def test_rows_that_differ_make_a_direction_of_w_plus(make: Any, tmp_path: Path) -> None:
    rows = np.random.RandomState(1).standard_normal((ROWS, WIDTH))
    np.save(tmp_path / "young.npy", rows)
    folder = make(tmp_path / "young.npy", scale=2.0)
    said = directions(folder)["young"]
    assert (said["space"], said["scale"]) == ("w+", 2.0)
    found = load_pack(folder).directions["young"]
    np.testing.assert_allclose(direction_rows(found, ROWS), rows, rtol=1e-6)
    notes = json.loads((folder / "pack.json").read_text())["made_by"]["sources"][1]["notes"]
    assert "row 0" in notes[0]


def test_an_archive_holds_several_directions_by_name(make: Any, tmp_path: Path) -> None:
    np.savez(tmp_path / "many.npz", smile=np.ones(WIDTH), **{"nose tip": np.ones((1, WIDTH))})
    folder = make(tmp_path / "many.npz")
    assert set(directions(folder)) == {"smile", "nose_tip"}
    assert set(load_pack(folder).directions) == {"smile", "nose_tip"}


def test_a_folder_stands_for_the_files_in_it(make: Any, tmp_path: Path) -> None:
    (tmp_path / "w_directions").mkdir()
    for name in ("age", "yaw"):
        np.save(tmp_path / "w_directions" / f"{name}.npy", np.ones((ROWS, WIDTH)))
    (tmp_path / "w_directions" / "README.md").write_text("no model")
    assert set(directions(make(tmp_path / "w_directions"))) == {"age", "yaw"}


def test_a_vector_as_long_as_all_style_channels_moves_styles(make: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "lips.npy", np.ones(sum(STYLES)))
    said = directions(make(tmp_path / "lips.npy"))["lips"]
    assert (said["space"], said["scale"]) == ("style", 10.0)


@pytest.mark.parametrize("shape", [(32,), (7, 16), (18, 512)])
def test_a_direction_of_another_generator_is_refused_with_both_files(
    make: Any, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    np.save(tmp_path / "smile.npy", np.random.RandomState(0).standard_normal(shape))
    told = r"smile\.npy: the edit is [0-9x]+, and the generator of g\.pkl has 8 rows of 16"
    with pytest.raises(PackSourceError, match=told):
        make(tmp_path / "smile.npy")


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_a_direction_that_moves_nothing_or_everywhere_is_refused(
    make: Any, tmp_path: Path, value: float
) -> None:
    np.save(tmp_path / "none.npy", np.full(WIDTH, value))
    with pytest.raises(PackSourceError, match="all zero, or not finite"):
        make(tmp_path / "none.npy")


@pytest.mark.parametrize(("size", "space"), [(WIDTH, "w"), (ROWS * WIDTH, "w+")])
@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_a_latent_transformer_is_a_direction_of_its_own_kind(
    make: Any, tmp_path: Path, size: int, space: str, ending: str
) -> None:
    torch.manual_seed(0)
    tensors = {"weight": torch.randn(size, size), "bias": torch.randn(size)}
    path = tmp_path / f"beard.{ending}"
    if ending == "pt":
        torch.save(tensors, path)
    else:
        save_file(tensors, path)
    folder = make(path)
    said = directions(folder)["beard"]
    assert (said["kind"], said["space"], said["scale"]) == ("transformer", space, 1.0)
    found = load_pack(folder).directions["beard"]
    ws = np.random.RandomState(0).standard_normal((ROWS, WIDTH))
    points = torch.from_numpy(ws).reshape(-1, size)
    wanted = points @ tensors["weight"].double().T + tensors["bias"].double()
    ours = transformed_rows(found, ws)
    np.testing.assert_allclose(ours, wanted.reshape(ROWS, WIDTH).numpy(), rtol=1e-5, atol=1e-5)


def test_a_transformer_of_low_rank_or_without_bias_is_read(make: Any, tmp_path: Path) -> None:
    save_file({"up": torch.ones(WIDTH, 3), "down": torch.ones(3, WIDTH)}, tmp_path / "low.safetensors")
    torch.save({"fc.weight": torch.eye(WIDTH)}, tmp_path / "plain.pt")
    pack = load_pack(make(tmp_path / "low.safetensors", tmp_path / "plain.pt"))
    for name in ("low", "plain"):
        assert pack.directions[name].transformer is not None
    save_file({"weight": torch.eye(WIDTH), "bias": torch.ones(3)}, tmp_path / "odd.safetensors")
    with pytest.raises(PackSourceError, match=r"bias of odd is \(3,\) where \(16,\)"):
        make(tmp_path / "odd.safetensors", name="other")


def style_files(folder: Path, *, rows: int = CONVS, dimensions: int = 128) -> tuple[Path, Path]:
    random = np.random.RandomState(0)
    np.save(folder / "fs3.npy", random.standard_normal((rows, dimensions)))
    lists = [[random.random_sample(size).astype(np.float32) for size in STYLES] for _ in range(2)]
    (folder / "S_mean_std").write_bytes(pickle.dumps(lists, protocol=4))
    return folder / "fs3.npy", folder / "S_mean_std"


def test_styleclip_files_and_clip_make_text_edits_possible(make: Any, tmp_path: Path) -> None:
    fs3, spread = style_files(tmp_path)
    torch.save(files.clip_state(dimensions=128), tmp_path / "ViT-B-32.pt")
    folder = make(fs3, spread, tmp_path / "ViT-B-32.pt")
    pack = load_pack(folder)
    assert pack.style_basis is not None
    assert pack.style_basis.std is not None
    np.testing.assert_allclose(pack.style_basis.relevance, np.load(fs3), rtol=1e-6)
    lists = pickle.loads(spread.read_bytes())
    np.testing.assert_array_equal(pack.style_basis.std, np.concatenate(lists[1]))
    assert pack.text is not None
    assert pack.text.embed(["a face"]).shape == (1, 128)
    assert load_file(folder / "text.safetensors")["ln_final.bias"].dtype == torch.float16
    pack.free_text()


def test_the_spread_joins_a_basis_that_a_pack_has_already(make: Any, tmp_path: Path) -> None:
    fs3, spread = style_files(tmp_path)
    folder = make(fs3)
    convert([spread], into=folder, accept=True)
    pack = load_pack(folder)
    assert pack.style_basis is not None
    assert pack.style_basis.std is not None
    np.testing.assert_allclose(pack.style_basis.relevance, np.load(fs3), rtol=1e-6)
    sources = json.loads((folder / "pack.json").read_text())["made_by"]["sources"]
    assert [each["file"] for each in sources] == ["g.pkl", "fs3.npy", "S_mean_std"]


def test_the_spread_alone_asks_for_the_basis(make: Any, tmp_path: Path) -> None:
    _, spread = style_files(tmp_path)
    with pytest.raises(PackSourceError, match=r"S_mean_std: needs StyleCLIP's fs3\.npy beside it"):
        make(spread)


def test_a_basis_of_another_generator_is_refused_with_both_files(make: Any, tmp_path: Path) -> None:
    fs3, _ = style_files(tmp_path, rows=6048)
    told = rf"fs3\.npy: speaks of 6048 convolution channels, and the generator of g\.pkl has {CONVS}"
    with pytest.raises(PackSourceError, match=told):
        make(fs3)


def test_a_basis_of_another_clip_is_refused_with_both_files(make: Any, tmp_path: Path) -> None:
    fs3, _ = style_files(tmp_path, dimensions=96)
    torch.save(files.clip_state(dimensions=128), tmp_path / "clip.pt")
    with pytest.raises(
        PackSourceError, match=r"clip\.pt: embeds texts in 128 dimensions, .* fs3\.npy has 96"
    ):
        make(fs3, tmp_path / "clip.pt")


def test_a_clip_that_misses_a_tensor_names_the_file_and_the_tensor(make: Any, tmp_path: Path) -> None:
    state = files.clip_state()
    del state["transformer.resblocks.0.mlp.c_fc.bias"]
    torch.save(state, tmp_path / "clip.pt")
    told = r"clip\.pt: has no transformer\.resblocks\.0\.mlp\.c_fc\.bias"
    with pytest.raises(PackSourceError, match=told):
        make(tmp_path / "clip.pt")


class Tree(torch.nn.Module):
    """Modules nested as the dots in the names of tensors say, to be saved as an archive."""

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        super().__init__()
        inner: dict[str, dict[str, torch.Tensor]] = {}
        for name, tensor in state.items():
            head, dot, rest = name.partition(".")
            if dot:
                inner.setdefault(head, {})[rest] = tensor
            else:
                self.register_parameter(head, torch.nn.Parameter(tensor))
        for head, below in inner.items():
            self.add_module(head, Tree(below))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_clip_in_the_archive_that_openai_publishes_is_read(make: Any, tmp_path: Path) -> None:
    state = files.clip_state(layers=2)
    torch.jit.save(torch.jit.script(Tree(state).half()), tmp_path / "ViT-B-32.pt")
    folder = make(tmp_path / "ViT-B-32.pt")
    said = json.loads((folder / "pack.json").read_text())
    assert (said["text"]["layers"], said["text"]["heads"], said["text"]["quick_gelu"]) == (2, 1, True)
    assert "notes" not in said["made_by"]["sources"][1]
    stored = load_file(folder / "text.safetensors")
    assert not any(name.startswith("visual") for name in stored)
    for name, tensor in stored.items():
        torch.testing.assert_close(tensor, state[name], rtol=0, atol=0)
