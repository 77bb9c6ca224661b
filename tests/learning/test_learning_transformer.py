"""Latent transformers: learned against a known truth, stored, loaded, and run with other edits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from learning_pack import ROWS, WIDTH, affine, linear, sums
from safetensors.torch import load_file, save_file

from stit_vfx.errors import JobFieldError, PackFormatError
from stit_vfx.learning.labels import Target, read_column
from stit_vfx.learning.learn import Learned, Wish, learn
from stit_vfx.learning.samples import Samples
from stit_vfx.learning.saving import save_direction
from stit_vfx.learning.transformer import Trained, TransformerRecipe, train_transformer
from stit_vfx.packs.load import Pack, load_pack
from stit_vfx.packs.model import Code


def two_normals() -> np.ndarray:
    """(2, 24): orthogonal, of length 1."""
    return np.linalg.qr(np.random.default_rng(0).standard_normal((24, 2)))[0].T


def crowd(count: int = 500) -> tuple[np.ndarray, list[Target]]:
    """Codes in which two orthogonal attributes go together: whoever has one mostly has the other."""
    rng, (a, b) = np.random.default_rng(1), two_normals()
    codes = rng.standard_normal((count, 24))
    codes += np.outer(0.5 * (codes @ a), b)
    labels = [Target(name, (codes @ n > 0).astype(float), "binary") for name, n in (("a", a), ("b", b))]
    return codes, labels


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train_transformer(*crowd(), TransformerRecipe(seed=1))


def test_the_target_moves_and_an_orthogonal_attribute_stays(trained: Trained) -> None:
    a, b = two_normals()
    fresh = np.random.default_rng(99).standard_normal((400, 24))
    steps = trained.map(fresh)
    # Judged by the truth itself, on codes of no sample.
    assert (steps @ a).mean() > 1.0
    assert abs((steps @ b).mean()) < 0.25 * (steps @ a).mean()
    reached = np.concatenate([(fresh + steps) @ a > 0, (fresh - steps) @ a < 0])
    assert reached.mean() > 0.9
    same = ((fresh + steps) @ b > 0) == (fresh @ b > 0)
    assert same.mean() > 0.85


def test_what_is_told_of_held_out_samples_agrees_with_the_truth(trained: Trained) -> None:
    a, _ = two_normals()
    codes, _ = crowd()
    steps = trained.map(codes)
    told = trained.judged
    assert told.held == 100
    assert told.moved_sd["a"] == pytest.approx((steps @ a).mean() / (codes @ a).std(), rel=0.25)
    assert told.success > 0.85
    assert min(told.accuracy.values()) > 0.85


def test_what_shall_stay_is_only_kept_if_it_is_given() -> None:
    codes = np.random.default_rng(1).standard_normal((500, 24))
    a, b = two_normals()
    # Half of what the target is made of is the other attribute.
    target = Target("both", (codes @ (a + b) > 0).astype(float), "binary")
    other = Target("b", (codes @ b > 0).astype(float), "binary")
    alone = train_transformer(codes, [target], TransformerRecipe(seed=1)).map(codes)
    kept = train_transformer(codes, [target, other], TransformerRecipe(seed=1)).map(codes)
    assert (alone @ b).mean() / (alone @ a).mean() == pytest.approx(1, abs=0.2)
    assert abs((kept @ b).mean() / (kept @ a).mean()) < 0.6
    assert (kept @ (a + b)).mean() > 0.8 * (alone @ (a + b)).mean()


def test_training_gives_the_same_bits_and_leaves_random_numbers_alone() -> None:
    codes, targets = crowd(100)
    short = TransformerRecipe(seed=4, steps=40, classifier_steps=20)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one, other = (train_transformer(codes, targets, short).map for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(one.factors[0], other.factors[0])
    assert np.array_equal(one.bias, other.bias)
    another = train_transformer(codes, targets, replace(short, seed=5)).map
    assert not np.array_equal(one.bias, another.bias)


@pytest.mark.parametrize("rank", [None, 3])
def test_what_it_gives_is_orthogonal_and_within_the_mask(rank: int | None) -> None:
    codes, targets = crowd(100)
    rng = np.random.default_rng(3)
    against, mask = rng.standard_normal((24, 2)), np.ones(24)
    short = TransformerRecipe(rank=rank, steps=60, classifier_steps=40)
    steps = train_transformer(codes, targets, short, against=against).map(codes)
    assert np.abs(steps @ against).max() < 1e-4 * np.abs(steps).max()
    mask[5:] = 0
    steps = train_transformer(codes, targets, short, mask=mask).map(codes)
    assert not steps[:, 5:].any()
    assert steps[:, :5].any()


def test_cells_that_nobody_filled_do_not_count() -> None:
    codes, (target, other) = crowd(200)
    gaps = np.where(np.arange(200) % 3 == 0, np.nan, other.values)
    found = train_transformer(codes, [target, replace(other, values=gaps)], TransformerRecipe(steps=200))
    assert np.isfinite(found.map(codes)).all()
    assert np.isfinite(list(found.judged.moved_sd.values())).all()


# in packs ---------------------------------------------------------------------------------------------------


def own(pack: Pack, samples: Samples, **wish: Any) -> Learned:
    table = samples.folder / "labels.csv"
    target, keep = (read_column(table, name, samples.files) for name in ("sure", "number"))
    return learn(pack, samples, target, Wish(name="own", method="transformer", **wish), keep=[keep])


@pytest.fixture(scope="module", params=["w", "w+"])
def learned(request: pytest.FixtureRequest, pack: Pack, samples: Samples) -> Learned:
    """One of each space, within three layers, orthogonal to two directions."""
    wish = {"layers": (0, 1, 2), "orthogonal_to": ("smile", "rows")}
    return own(pack, samples, space=request.param, rank=None if request.param == "w" else 6, **wish)


def test_a_learned_transformer_comes_back_from_its_pack(
    own_pack: Path, pack: Pack, samples: Samples, learned: Learned
) -> None:
    save_direction(own_pack, learned)
    loaded = load_pack(own_pack)
    code = Code(samples.ws[0])
    here = pack.model.move(code, [(learned.direction, 0.5)])
    there = loaded.model.move(code, [(loaded.directions["own"], 0.5)])
    assert np.array_equal(here.ws, there.ws)
    assert (here.ws != code.ws).any(1).tolist() == [True] * 3 + [False] * (ROWS - 3)
    spec = loaded.spec.directions["own"]
    assert (spec.kind, spec.space, spec.layers) == ("transformer", learned.direction.space, (0, 1, 2))
    assert spec.measured["moved_sd_at_strength_1"]["sure"] == pytest.approx(2, abs=1e-3)
    assert spec.measured["held_out_success_at_alpha_1"] > 0.7


def test_a_transformer_stays_orthogonal_to_directions_whatever_the_rows(pack: Pack, learned: Learned) -> None:
    code = Code(np.random.default_rng(6).standard_normal((ROWS, WIDTH)).astype(np.float32))
    step = np.float64(pack.model.move(code, [(learned.direction, 1.0)]).ws) - code.ws
    for name in ("smile", "rows"):
        other = np.broadcast_to(np.float64(pack.directions[name].vector), (ROWS, WIDTH))
        assert abs((step * other).sum()) < 1e-5 * np.linalg.norm(step) * np.linalg.norm(other)


def test_it_is_no_matter_in_which_order_edits_are_made(pack: Pack) -> None:
    rng = np.random.default_rng(0)
    code = Code(rng.standard_normal((ROWS, WIDTH)).astype(np.float32))
    moves = [
        (affine(), 0.7),
        (linear(), -0.4),
        (affine("whole", space="w+", seed=5, layers=(1, 4)), 0.3),
        (affine("second", seed=6), -1.1),
    ]
    one = pack.model.move(code, moves).ws
    assert np.array_equal(one, pack.model.move(code, moves[::-1]).ws)
    expected = code.ws.astype(np.float64)
    for direction, strength in (moves[0], moves[3]):
        matrix, bias = direction.transformer.factors[0], direction.transformer.bias
        expected += strength * (code.ws @ matrix.T.astype(np.float64) + bias)
    expected[:, 0] += -0.4 * 2.0
    whole = moves[2][0].transformer
    step = (whole.factors[0].astype(np.float64) @ code.ws.reshape(-1) + whole.bias).reshape(ROWS, WIDTH)
    expected[[1, 4]] += 0.3 * step[[1, 4]]
    np.testing.assert_allclose(one, expected, rtol=1e-5, atol=1e-5)


def write_tensors(pack: Path, tensors: dict[str, torch.Tensor], **spec: Any) -> None:
    save_file({**load_file(pack / "directions.safetensors"), **tensors}, pack / "directions.safetensors")
    data = json.loads((pack / "pack.json").read_text())
    data["directions"]["bend"] = {"kind": "transformer", "file": "directions.safetensors", **spec}
    data["sha256"] = sums(pack)
    (pack / "pack.json").write_text(json.dumps(data))


def test_low_rank_is_the_product_of_its_factors(own_pack: Path) -> None:
    up, down = torch.randn(ROWS * WIDTH, 2), torch.randn(2, ROWS * WIDTH)
    write_tensors(own_pack, {"bend.up": up, "bend.down": down}, space="w+")
    loaded = load_pack(own_pack)
    code = Code(np.random.default_rng(1).standard_normal((ROWS, WIDTH)).astype(np.float32))
    moved = loaded.model.move(code, [(loaded.directions["bend"], 1.0)]).ws - code.ws
    expected = (up @ down @ torch.from_numpy(code.ws.reshape(-1))).reshape(ROWS, WIDTH).numpy()
    np.testing.assert_allclose(moved, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("tensors", "space", "words"),
    [
        ({}, "w", "no tensor bend.up"),
        ({"bend.up": torch.zeros(WIDTH, 2)}, "w", "no tensor bend.down"),
        ({"bend.weight": torch.zeros(WIDTH, WIDTH + 1)}, "w", r"bend.weight .* \(24, 25\) where \(24, 24\)"),
        ({"bend.weight": torch.zeros(WIDTH, WIDTH)}, "w+", r"\(24, 24\) where \(192, 192\)"),
        (
            {"bend.weight": torch.zeros(WIDTH, WIDTH), "bend.bias": torch.zeros(3)},
            "w",
            r"bend.bias .* \(3,\)",
        ),
        ({"bend.up": torch.zeros(WIDTH, 2), "bend.down": torch.zeros(3, WIDTH)}, "w", "bend.up"),
        ({"bend.weight": torch.full((WIDTH, WIDTH), torch.nan)}, "w", "bend.weight .* not finite"),
    ],
)
def test_tensors_that_do_not_fit_are_named(own_pack: Path, tensors: Any, space: str, words: str) -> None:
    write_tensors(own_pack, tensors, space=space)
    with pytest.raises(PackFormatError, match=words):
        load_pack(own_pack)


def test_a_transformer_has_no_style_space_and_nothing_is_orthogonal_to_it(
    own_pack: Path, pack: Pack, samples: Samples
) -> None:
    with pytest.raises(JobFieldError, match="rows of w"):
        own(pack, samples, space="style")
    write_tensors(own_pack, {"bend.weight": torch.eye(WIDTH)})
    target = read_column(samples.folder / "labels.csv", "sure", samples.files)
    with pytest.raises(JobFieldError, match="is a transformer"):
        learn(load_pack(own_pack), samples, target, Wish(name="own", orthogonal_to=("bend",)))


def test_a_shot_is_edited_with_keys_and_another_direction(own_pack: Path, tmp_path: Path) -> None:
    from stit_vfx.demo import write_plate
    from stit_vfx.job import Job
    from stit_vfx.pipeline import edit_shot
    from stit_vfx.plate.exr import read_exr
    from stit_vfx.shot import Shot

    write_tensors(own_pack, {"bend.weight": torch.eye(WIDTH), "bend.bias": torch.ones(WIDTH)})
    plate = write_plate(tmp_path / "plates", frames=(1001, 1002))
    edits = [
        {"direction": "bend", "keys": {"1001": 0, "1002": 1}},
        {"direction": "smile", "keys": {"1001": 0, "1002": 0.5}},
    ]
    job = Job.from_data(
        {
            "schema": "stit.job/1",
            "shot": "s",
            "plate": plate,
            "pack": str(own_pack),
            "edits": edits,
            "consent": "t",
        }
    )
    assert edit_shot(job, out=tmp_path, device="cpu").exit_status == 0
    version = Shot.at(tmp_path / "s.stit").find_version()
    same = {
        frame: np.array_equal(
            read_exr(version.comp_path(frame)).channels["G"],
            read_exr(plate.replace("####", str(frame))).channels["G"],
        )
        for frame in (1001, 1002)
    }
    assert same == {1001: True, 1002: False}
