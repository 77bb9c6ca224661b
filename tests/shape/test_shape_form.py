from __future__ import annotations

import numpy as np
import pytest

from stit_vfx.shape.form import FORMS, form_displacement
from stit_vfx.shape.model import EYE, TEETH, ShapeModel
from stit_vfx.shape.moves import apply_moves
from stit_vfx.training.directions import default_directions

EYES_OUT, NOSTRILS, CORNERS, CHIN = (36, 45), (31, 35), (48, 54), 8


def formed(model: ShapeModel, face, name: str, strength: float) -> np.ndarray:
    """(68, 3) landmarks of one face after a direction."""
    move = next(d["shape"] for d in default_directions() if d["name"] == name)
    return model.marks(apply_moves(model, face(seed=2), [(move, strength)]))


def apart(marks: np.ndarray, pair: tuple[int, int]) -> float:
    return float(np.linalg.norm(marks[pair[0]] - marks[pair[1]]))


def measure(marks: np.ndarray) -> dict[str, float]:
    """Centimetres that the names of the directions speak of."""
    return {
        "eye_size": apart(marks, (36, 39)) + apart(marks, (42, 45)),
        "nose_width": apart(marks, NOSTRILS),
        "lip_fullness": float(marks[51, 1] - marks[62, 1] + marks[66, 1] - marks[57, 1]),
        "jaw_width": apart(marks, (4, 12)),
        "face_width": apart(marks, (1, 15)),
        "chin_length": float(marks[57, 1] - marks[CHIN, 1]),
    }


@pytest.mark.parametrize("name", [n for n in FORMS if n != "masculine"])
def test_each_form_changes_what_its_name_says_both_ways_and_little_else(
    model: ShapeModel, face, name: str
) -> None:
    sizes = [measure(formed(model, face, name, s)) for s in (-1.0, -0.5, 0.0, 0.5, 1.0)]
    own = [s[name] for s in sizes]
    assert own == sorted(own)
    assert own[-1] / own[2] > 1.03
    assert own[0] / own[2] < 0.97
    assert max(abs(s / own[2] - 1) for s in own) < 0.35
    # A wide face has a wide jaw.
    others = set(sizes[0]) - {name} - ({"jaw_width", "face_width"} if name.endswith("_width") else set())
    for other in others:
        assert abs(sizes[-1][other] / sizes[2][other] - 1) < 0.35 * abs(own[-1] / own[2] - 1) + 0.01, other


def test_more_masculine_and_more_feminine_faces(model: ShapeModel, face) -> None:
    feminine, plain, masculine = (measure(formed(model, face, "masculine", s)) for s in (-1.0, 0.0, 1.0))
    for wider in ("jaw_width", "nose_width", "chin_length"):
        assert feminine[wider] < plain[wider] < masculine[wider]
    for fuller in ("lip_fullness", "eye_size"):
        assert feminine[fuller] > plain[fuller] > masculine[fuller]
    brow = [formed(model, face, "masculine", s)[[18, 25], 1].mean() for s in (-1.0, 1.0)]
    assert brow[0] > brow[1] + 0.2


@pytest.mark.parametrize("name", FORMS)
def test_forms_are_even_on_both_sides_and_nothing_behind_the_ears(name: str) -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform([-7, -12, -2], [7, 8, 12], (200, 3))
    one, other = form_displacement(name, points), form_displacement(name, points * [-1, 1, 1])
    assert np.allclose(one * [-1, 1, 1], other, atol=1e-9)
    assert np.abs(form_displacement(name, points * [1, 1, 0] - [0, 0, 6])).max() < 1e-3


def test_eyeballs_grow_with_their_lids_and_teeth_stay(model: ShapeModel) -> None:
    grown = model.forms[FORMS.index("eye_size")]
    assert np.abs(grown[model.parts == EYE]).max() > 0.1
    assert not model.forms[:, model.parts == TEETH].any()
    jaw = model.forms[FORMS.index("jaw_width")]
    assert not jaw[model.parts == EYE].any()


def test_several_edits_together_stay_within_bounds(model: ShapeModel, face) -> None:
    moves = [(d["shape"], d["range"][1]) for d in default_directions() if "form" in d["shape"]] * 3
    after = apply_moves(model, face(), moves)
    assert np.abs(after.form).max() <= 1.25


def test_an_edit_of_the_expression_leaves_the_form_out(model: ShapeModel, face) -> None:
    smile = next(d["shape"] for d in default_directions() if d["name"] == "smile")
    assert apply_moves(model, face(), [(smile, 1.0)]).form is None
