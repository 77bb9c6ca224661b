from __future__ import annotations

import numpy as np
import pytest

from stit_vfx.shape.flow import change_fields
from stit_vfx.shape.lips import Edges, lips_met
from stit_vfx.shape.model import ShapeModel
from stit_vfx.shape.moves import apply_moves
from stit_vfx.training.directions import default_directions

SIZE = 192  # of the faces that `face` makes
SKIN, LIP, LINE = np.array([0.42, 0.28, 0.22]), np.array([0.30, 0.15, 0.13]), np.array([0.05, 0.02, 0.02])
MOVES = {d["name"]: d["shape"] for d in default_directions()}


def plate(model: ShapeModel, code, *, lower_px: float, grain: float = 0.0) -> np.ndarray:
    """Skin with lips, that meet in a dark line so many px below where the code has them."""
    edges = Edges.of(model, code)
    y, x = np.mgrid[:SIZE, :SIZE].astype(float)
    along, depth = edges.place(x, y)
    off = depth - np.interp(along, np.linspace(0, 1, len(edges.upper)), (edges.upper + edges.lower) / 2)
    on = ((along > -0.02) & (along < 1.02))[..., None]
    out = np.where(on & (np.abs(off - lower_px) < 6)[..., None], LIP, SKIN)
    line = np.exp(-(((off - lower_px) / 0.9) ** 2))[..., None] * on
    noise = np.random.default_rng(5).normal(0, grain, out.shape) if grain else 0.0
    return np.asarray(np.maximum(out * (1 - line) + LINE * line + noise, 0), np.float32)


def middle_px(model: ShapeModel, code) -> float:
    """How high up in the picture the lips meet, in the middle half of the mouth."""
    edges = Edges.of(model, code)
    curve = edges.points((edges.upper + edges.lower) / 2)
    return float(curve[len(curve) // 4 : -len(curve) // 4, 1].mean())


@pytest.mark.parametrize("lower_px", [-3.0, 0.0, 2.5])
@pytest.mark.parametrize("grain", [0.0, 0.01])
def test_lips_are_brought_to_the_line_between_them(model, face, lower_px, grain) -> None:
    code = face(seed=1)
    met, also = lips_met(model, (code, code), plate(model, code, lower_px=lower_px, grain=grain))
    assert abs(middle_px(model, met) - middle_px(model, code) - lower_px) < 0.5
    assert np.array_equal(met.detail, also.detail)
    assert abs(Edges.of(model, met).gap) < 0.06 * code.scale


def test_lips_without_a_line_stay(model: ShapeModel, face) -> None:
    code = face(seed=1)
    met, _ = lips_met(model, (code, code), np.full((SIZE, SIZE, 3), 0.3, np.float32))
    assert abs(middle_px(model, met) - middle_px(model, code)) < 0.3


@pytest.mark.parametrize("inside", [[1.2, 1.1, 0.9], [0.01, 0.005, 0.005]])
def test_an_open_mouth_is_left_alone(model: ShapeModel, face, inside) -> None:
    code = face({"jawOpen": 0.35}, seed=1)
    edges = Edges.of(model, code)
    y, x = np.mgrid[:SIZE, :SIZE].astype(float)
    along, depth = edges.place(x, y)
    at = np.linspace(0, 1, len(edges.upper))
    between = (depth > np.interp(along, at, edges.upper)) & (depth < np.interp(along, at, edges.lower))
    picture = np.where(between[..., None], inside, SKIN).astype(np.float32)
    codes = (code, code)
    assert lips_met(model, codes, picture) is codes


@pytest.mark.parametrize("lower_px", [-3.0, 2.5])
def test_either_lip_keeps_what_is_its_own(model: ShapeModel, face, quad, lower_px) -> None:
    """An opened mouth has no piece of the one lip at the edge of the other, however wrong the fit is."""
    code = face(seed=1)
    picture = plate(model, code, lower_px=lower_px)
    after = apply_moves(model, code, [(MOVES["mouth_open"], 0.8)])
    fields = change_fields(model, code, after, quad=quad, crop_lin=picture)
    met, opened = lips_met(model, (code, after), picture)
    old, new = Edges.of(model, met), Edges.of(model, opened)
    assert new.gap > 0.5 * code.scale
    middle = slice(len(new.upper) // 4, -len(new.upper) // 4)
    for curve, outwards in ((new.upper, -1.0), (new.lower, 1.0)):
        for x, y in new.points(curve + 2.0 * outwards)[middle]:
            move = fields.flow[round(y), round(x)]
            along, depth = old.place(np.array(x + move[0]), np.array(y + move[1]))
            line = np.interp(along, np.linspace(0, 1, len(old.upper)), (old.upper + old.lower) / 2)
            assert -0.6 < outwards * (depth - line) < 4.0


def test_an_opened_mouth_is_one_round_piece(model: ShapeModel, face, quad) -> None:
    import cv2

    code = face(seed=2)
    after = apply_moves(model, code, [(MOVES["mouth_open"], 0.8)])
    fields = change_fields(model, code, after, quad=quad, crop_lin=plate(model, code, lower_px=1.0))
    hole = (fields.revealed > 0.5).astype(np.uint8)
    outlines, _ = cv2.findContours(hole, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    assert len(outlines) == 1
    assert hole.sum() > 0.97 * cv2.contourArea(cv2.convexHull(outlines[0]))


def test_what_does_not_open_reveals_nothing(model: ShapeModel, face, quad) -> None:
    code = face(seed=1)
    after = apply_moves(model, code, [(MOVES["smile"], 0.8)])
    fields = change_fields(model, code, after, quad=quad, crop_lin=plate(model, code, lower_px=1.0))
    assert fields.revealed.max() < 0.2
