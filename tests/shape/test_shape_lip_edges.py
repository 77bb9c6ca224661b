"""Where parted lips end in a plate, however wrong the fit is about them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from stit_vfx.shape.code import crop_affine
from stit_vfx.shape.flow import change_fields, warp
from stit_vfx.shape.lip_edges import carried, open_edges
from stit_vfx.shape.lips import Edges
from stit_vfx.shape.model import ShapeModel
from stit_vfx.shape.moves import apply_moves
from stit_vfx.training.directions import default_directions

SIZE = 384  # twice that of the faces that `face` makes
SKIN, LIP = np.array([0.42, 0.28, 0.22]), np.array([0.30, 0.15, 0.13])
TEETH, DARK = np.array([0.62, 0.58, 0.50]), np.array([0.03, 0.012, 0.010])
MOVES = {d["name"]: d["shape"] for d in default_directions()}


@pytest.fixture
def quad() -> np.ndarray:
    """The quad that is the picture itself."""
    low, high = -0.5, SIZE - 0.5
    return np.array([[low, low], [low, high], [high, high], [high, low]])


@pytest.fixture
def smiling(face):
    small = np.array([[-0.5, -0.5], [-0.5, 191.5], [191.5, 191.5], [191.5, -0.5]])
    code = face({"mouthSmile": 0.8, "mouthUpperUp": 0.4, "jawOpen": 0.22}, seed=1)
    return code.through(crop_affine(small, SIZE))


def plate(
    model: ShapeModel, code, *, upper_px: float = 0.0, lower_px: float = 0.0, grain: float = 0.0
) -> np.ndarray:
    """Skin and lips, and teeth between lips whose edges are so many px below where the code has them."""
    edges = Edges.of(model, code)
    y, x = np.mgrid[:SIZE, :SIZE].astype(float)
    t, depth = edges.place(x, y)
    upper, lower = (np.interp(t, np.linspace(0, 1, len(c)), c) for c in (edges.upper, edges.lower))
    bow = np.sqrt(np.maximum(1 - (2 * t - 1) ** 2, 0))
    upper, lower = upper + upper_px * bow, lower + lower_px * bow
    on = (t > 0) & (t < 1)
    out = np.where((on & (depth > upper - 14) & (depth < lower + 14))[..., None], LIP, SKIN)
    bright = np.clip(1.3 - np.abs(2 * t - 1), 0, 1)[..., None]
    out = np.where(
        (on & (depth > upper) & (depth < lower))[..., None], bright * TEETH + (1 - bright) * DARK, out
    )
    out = cv2.GaussianBlur(out, (0, 0), 0.8)
    noise = np.random.default_rng(5).normal(0, grain, out.shape) if grain else 0.0
    return np.asarray(np.maximum(out + noise, 0), np.float32)


@pytest.mark.parametrize(("upper_px", "lower_px"), [(0.0, 0.0), (4.0, 0.0), (-3.0, 4.0), (0.0, -3.0)])
@pytest.mark.parametrize("grain", [0.0, 0.02])
def test_edges_are_found_where_the_plate_has_them(model, smiling, upper_px, lower_px, grain) -> None:
    picture = plate(model, smiling, upper_px=upper_px, lower_px=lower_px, grain=grain)
    fitted, found = Edges.of(model, smiling), open_edges(model, smiling, picture, None)
    t = np.linspace(0, 1, len(found.upper))
    bow = np.sqrt(1 - (2 * t - 1) ** 2)
    middle = slice(10, -10)
    for own, was, by, outwards in (
        (found.upper, fitted.upper, upper_px, -1.0),
        (found.lower, fitted.lower, lower_px, 1.0),
    ):
        truth = fitted.points(was + by * bow)[middle]
        _, depth = found.place(*truth.T)
        off = outwards * (own[middle] - depth)
        assert 0.3 < off.mean() < 1.6  # on the lip, by as much as its pixels are mixed with what is behind
        assert off.std() < 0.5


def test_a_picture_without_lips_leaves_the_edges_to_the_fit(model: ShapeModel, smiling) -> None:
    flat = np.full((SIZE, SIZE, 3), 0.3, np.float32)
    fitted, found = Edges.of(model, smiling), open_edges(model, smiling, flat, None)
    assert np.abs(found.upper - fitted.upper).max() < 0.5
    assert np.abs(found.lower - fitted.lower).max() < 0.5


def test_found_edges_move_by_as_much_as_fitted_ones(model: ShapeModel, smiling) -> None:
    picture = plate(model, smiling, upper_px=4.0)
    after = apply_moves(model, smiling, [(MOVES["mouth_open"], 0.6)])
    old, was, now = (
        open_edges(model, smiling, picture, None),
        Edges.of(model, smiling),
        Edges.of(model, after),
    )
    new = carried(old, was, now)
    middle = slice(12, -12)
    for own, moved, before, then in (
        (old.upper, new.upper, was.upper, now.upper),
        (old.lower, new.lower, was.lower, now.lower),
    ):
        shift = (new.points(moved) - old.points(own))[middle]
        truth = (now.points(then) - was.points(before))[middle]
        assert np.abs(shift - truth).max() < 0.8
    still = carried(old, was, was)
    assert np.abs(still.points(still.upper) - old.points(old.upper)).max() < 1e-6


@pytest.mark.parametrize("strength", [0.3, 0.6, 1.0])
def test_anger_opens_nothing_between_lips_that_show_teeth(model, smiling, quad, strength) -> None:
    """It pressed one side of the mouth into a dark gap; now lips come together evenly, over the teeth."""
    picture = plate(model, smiling)
    after = apply_moves(model, smiling, [(MOVES["anger"], strength)])
    was, now = Edges.of(model, smiling), Edges.of(model, after)
    assert now.gap < (1 - 0.5 * strength) * was.gap
    fields = change_fields(model, smiling, after, quad=quad, crop_lin=picture)
    new = carried(open_edges(model, smiling, picture, None), was, now)
    y, x = np.mgrid[:SIZE, :SIZE].astype(float)
    within = new.within(x, y) > 0.9
    at, _ = new.place(x, y)
    if within.sum() > 30:
        middle = within & (np.abs(at - 0.5) < 0.3)
        left, right = (fields.revealed[middle & side].mean() for side in (at < 0.5, at > 0.5))
        assert abs(left - right) < 0.15
        assert strength > 0.8 or max(left, right) < 0.3


def test_lips_that_purse_come_together_over_the_teeth_steadily_and_evenly(model, smiling, quad) -> None:
    picture = plate(model, smiling, lower_px=2.0)
    teeth = picture @ [0.2126, 0.7152, 0.0722] > 0.38  # brighter than skin
    assert teeth.sum() > 500
    old, was = open_edges(model, smiling, picture, None), Edges.of(model, smiling)
    gaps, bright = [old.gap / smiling.scale], []
    for strength in (0.2, 0.4, 0.6, 0.8, 1.0):
        after = apply_moves(model, smiling, [(MOVES["pucker"], strength)])
        new = carried(old, was, Edges.of(model, after))
        gaps.append(new.gap / smiling.scale)
        height = (new.lower - new.upper) / smiling.scale
        assert np.abs(height - height[::-1])[6:-6].max() < 0.1  # cm
        fields = change_fields(model, smiling, after, quad=quad, crop_lin=picture)
        shown = warp(picture, fields.flow)
        shown = shown + fields.revealed[..., None] * (fields.mouth_lin - shown)
        bright.append(float((shown @ [0.2126, 0.7152, 0.0722] > 0.38).sum() / teeth.sum()))
    steps = np.diff(gaps)
    assert (steps < 1e-6).all()
    assert steps.min() > -0.6 * gaps[0]  # no jump in the strength
    assert max(gaps[-2:]) < 0.12  # cm
    assert bright == sorted(bright, reverse=True)
    assert bright[0] > 0.5
    assert max(bright[-2:]) < 0.05


@pytest.mark.parametrize("strength", [0.7, 0.85, 1.0])
def test_a_sober_face_leaves_a_line_between_lips_that_is_as_high_on_either_side(
    model, smiling, strength
) -> None:
    """The plate's opening is 4 px higher on its left than the fitted one, and as much lower on its right."""
    was, now = (
        Edges.of(model, code)
        for code in (smiling, apply_moves(model, smiling, [(MOVES["smile"], -strength)]))
    )
    t = np.linspace(0, 1, len(was.lower))
    skew = 2.0 * np.sin(2 * np.pi * t)
    new = carried(replace(was, upper=was.upper - skew, lower=was.lower + skew), was, now)
    height = new.lower - new.upper
    assert now.gap < 0.5 * was.gap
    assert np.abs(height - height[::-1]).max() < 8.0 * max(now.gap, 0) / was.gap + 0.3
    assert (height >= 0).all()


@pytest.mark.parametrize("strength", [0.4, 1.0])
def test_an_opened_row_of_teeth_ends_without_steps_and_shows_no_skin(model, smiling, quad, strength) -> None:
    picture = plate(model, smiling)
    after = apply_moves(model, smiling, [(MOVES["mouth_open"], strength)])
    fields = change_fields(model, smiling, after, quad=quad, crop_lin=picture)
    new = carried(open_edges(model, smiling, picture, None), Edges.of(model, smiling), Edges.of(model, after))
    y, x = np.mgrid[:SIZE, :SIZE].astype(float)
    deep = new.within(x, y, wider_px=-1.5) > 0.9
    hole = (fields.revealed > 0.5) & deep
    _, _, stats, _ = cv2.connectedComponentsWithStats(hole.astype(np.uint8), connectivity=8)
    assert stats[1:, cv2.CC_STAT_AREA].max() > 0.98 * hole.sum()
    tops = np.array([np.flatnonzero(c)[0] for c in hole.T if c.sum() > 2])
    assert np.abs(np.diff(tops)).max() <= 2  # the ends of teeth are one curve
    shown = deep & (fields.revealed < 0.1)
    source = np.stack([x, y], -1) + fields.flow
    t, depth = (old := open_edges(model, smiling, picture, None)).place(source[..., 0], source[..., 1])
    upper, lower = (np.interp(t, np.linspace(0, 1, len(c)), c) for c in (old.upper, old.lower))
    assert (np.minimum(depth - upper, lower - depth)[shown] > -1.0).all()
