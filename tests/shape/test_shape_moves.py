from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import stit_vfx.packs
from stit_vfx.shape.code import rotation_vector
from stit_vfx.shape.model import ShapeModel
from stit_vfx.shape.moves import apply_moves
from stit_vfx.training.directions import default_directions

MOVES = {d["name"]: d["shape"] for d in default_directions()}


def marks(model: ShapeModel, code, **strengths: float) -> np.ndarray:
    """(68, 3) landmarks after moves, in eye distances."""
    before = model.marks(code)
    after = model.marks(apply_moves(model, code, [(MOVES[n], s) for n, s in strengths.items()]))
    return after / np.linalg.norm(before[36:42].mean(0) - before[42:48].mean(0))


def lift(points: np.ndarray) -> float:
    """Corners above the middle of the lips, as `measure.edits` has it."""
    return float(points[[48, 54], 1].mean() - points[[51, 57, 62, 66], 1].mean())


@pytest.mark.parametrize("seed", range(6))
def test_half_a_smile_lifts_the_corners_and_leaves_the_chin(model: ShapeModel, face, seed: int) -> None:
    rest = face(seed=seed)
    before, after = marks(model, rest), marks(model, rest, smile=0.5)
    assert lift(after) > lift(before) + 0.05
    assert abs(after[8, 1] - before[8, 1]) < 0.015


@pytest.mark.parametrize("strength", [0.3, 0.6, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_lips_that_touch_smile_together(model: ShapeModel, face, seed: int, strength: float) -> None:
    rest = face(seed=seed)
    before, after = marks(model, rest), marks(model, rest, smile=strength)
    parted = after[[61, 62, 63], 1] - after[[67, 66, 65], 1]
    assert parted.mean() < (before[[61, 62, 63], 1] - before[[67, 66, 65], 1]).mean() + 1e-3


def test_a_jaw_that_is_open_already_still_drops_behind_a_smile(model: ShapeModel, face) -> None:
    drops = []
    for jaw in (0.0, 0.12):
        rest = np.zeros(len(model.expressions))
        rest[model.index("jawOpen")] = jaw
        before = face(0).but(expression=rest)
        after = apply_moves(model, before, [(MOVES["smile"], 0.5)])
        drops.append((after.expression - before.expression)[model.index("jawOpen")])
    assert drops[1] == pytest.approx(drops[0], rel=0.1)


def test_the_built_in_pack_moves_as_the_recipe_says() -> None:
    pack = json.loads((Path(stit_vfx.packs.__file__).parent / "builtin" / "pack.json").read_text())
    assert {name: d["shape"] for name, d in pack["directions"].items()} == MOVES


@pytest.mark.parametrize("name", ["anger", "smile"])
def test_lips_that_a_smile_parts_come_together_and_those_that_a_jaw_parts_do_not(
    model: ShapeModel, face, name: str
) -> None:
    """An angry or a sober face still speaks."""

    def gaps(**amounts: float) -> tuple[float, float]:
        rest = np.zeros(len(model.expressions))
        for key, amount in amounts.items():
            rest[[k for k, e in enumerate(model.expressions) if e in (key, f"{key}_L", f"{key}_R")]] = amount
        before = face(0).but(expression=rest)
        after = apply_moves(model, before, [(MOVES[name], -1.0 if name == "smile" else 1.0)])
        marks = (model.marks(code) for code in (before, after))
        was, now = (float(m[[61, 62, 63], 1].mean() - m[[67, 66, 65], 1].mean()) for m in marks)
        return was, now

    parted, pressed = gaps(mouthSmile=0.9, mouthUpperUp=0.35, mouthLowerDown=0.4)
    assert parted > 0.5
    assert pressed < 0.1
    spoken, still_open = gaps(jawOpen=0.5, mouthSmile=0.2)
    assert still_open > 0.25 * spoken


@pytest.mark.parametrize(
    ("head_deg", "turn_deg", "share"),
    [
        (0, 10, 1.0),
        (25, 10, 1.0),
        (25, -10, 1.0),
        (55, -10, 0.0),
        (-55, 10, 0.0),
        (55, 10, 0.25),
        (-55, -10, 0.25),
    ],
)
def test_a_profile_turns_as_far_as_a_plate_can_show(
    model: ShapeModel, face, head_deg: float, turn_deg: float, share: float
) -> None:
    """To the camera not at all: nobody has seen what is behind the nose."""
    code = face(yaw=np.radians(head_deg))
    turned = apply_moves(model, code, [({"pose": {"yaw": turn_deg}}, 1.0)])
    by_deg = np.degrees(rotation_vector(turned.rotation @ code.rotation.T)[1])
    assert by_deg == pytest.approx(share * turn_deg, abs=1e-6)
