from __future__ import annotations

import cv2
import numpy as np
import pytest

from stit_vfx.shape.backdrop import continued
from stit_vfx.shape.likeness import rather_outside
from stit_vfx.shape.transport import transported

SIZE = 192
Y, X = np.mgrid[:SIZE, :SIZE].astype(np.float64)
RED, WHITE = np.array([0.6, 0.1, 0.15]), np.array([0.8, 0.8, 0.82])
HEAD = np.hypot((X - 96) / 42, (Y - 96) / 56) < 1
DEPTH = cv2.distanceTransform(HEAD.astype(np.uint8), cv2.DIST_L2, 5)
NOWHERE = np.zeros((SIZE, SIZE), np.float32)


def flag(degrees: float) -> np.ndarray:
    """Stripes of 16 px, their edges as soft as a lens makes them."""
    across = X * np.sin(np.radians(degrees)) + Y * np.cos(np.radians(degrees))
    red = 1 / (1 + np.exp(-8 * np.sin(np.pi * across / 16)))
    return np.asarray(WHITE + red[..., None] * (RED - WHITE), np.float32)


def before(wall: np.ndarray) -> np.ndarray:
    return np.where(HEAD[..., None], np.float32([0.6, 0.45, 0.35]), wall)


def error(found: np.ndarray, truth: np.ndarray) -> float:
    """Of the strip that a turn uncovers, where the stripes do not run along the head's side."""
    strip = (DEPTH > 1) & (DEPTH < 12) & (np.abs(Y - 96) < 40)
    return float(np.sqrt(np.mean((found[strip] - truth[strip]) ** 2)))


@pytest.mark.parametrize("degrees", [0, 25, -40])
def test_a_flag_goes_on_behind_a_head_in_the_direction_of_its_stripes(degrees: float) -> None:
    """Whatever their slant. The nearest colour, ever softer, misses the truth by 0.15, 0.20 and 0.22."""
    truth = flag(degrees)
    found = continued(before(truth), 1 - HEAD.astype(np.float32), NOWHERE)
    assert error(found, truth) < 0.12
    assert np.array_equal(found[~HEAD], truth[~HEAD])


def test_grain_moves_what_is_continued_by_less_than_itself() -> None:
    """Means of many pixels: what a turn uncovers is no more restless than the plate."""
    truth, known = flag(25), (~HEAD).astype(np.uint8)
    depth = cv2.distanceTransform(1 - known, cv2.DIST_L2, 5)
    shots = [truth + np.random.default_rng(k).normal(0, 0.02, truth.shape).astype(np.float32) for k in (0, 1)]
    one, other = (transported(before(shot), depth, deepest=14) for shot in shots)
    strip = (depth > 0) & (depth < 12)
    assert 0 < np.std((one - other)[strip]) < 0.02 * np.sqrt(2)


def test_deeper_than_asked_nothing_is_touched() -> None:
    picture, depth = before(flag(25)), np.where(HEAD, DEPTH, 0).astype(np.float32)
    found = transported(picture, depth, deepest=9)
    assert np.array_equal(found[DEPTH > 9], picture[DEPTH > 9])
    assert not np.array_equal(found[HEAD], picture[HEAD])


def test_the_tip_of_a_collar_does_not_go_on() -> None:
    """A white tip beside the jaw ends there; a white line of the wall goes on."""
    wall = np.full((SIZE, SIZE, 3), np.float32([0.2, 0.25, 0.4]))
    tip = (np.abs(Y - 96 - (X - 54)) < 6) & (X < 96)
    wall[tip] = WHITE
    clothes = (tip & ~HEAD).astype(np.float32)
    goes_on = tip & (DEPTH > 8) & (DEPTH < 14) & (X < 80)
    shown, ends = (continued(before(wall), 1 - HEAD.astype(np.float32), c) for c in (NOWHERE, clothes))
    assert goes_on.sum() > 30
    assert shown[goes_on].mean() > ends[goes_on].mean() + 0.1


def test_what_is_beside_a_head_is_judged_by_the_colours_near_it() -> None:
    """White beside a cheek is wall where the wall is white and only the hat, further up, is."""
    picture = np.where(HEAD[..., None], np.float32([0.6, 0.45, 0.35]), np.float32([0.1, 0.15, 0.4]))
    picture[HEAD & (Y < 60)] = WHITE
    patch = np.hypot(X - 140, Y - 120) < 26
    picture[patch & ~HEAD] = WHITE
    asked = (DEPTH < 8) & (cv2.dilate(HEAD.astype(np.uint8), np.ones((17, 17))) > 0)
    inside, outside = DEPTH > 8, ~asked & ~HEAD
    share = rather_outside(picture, asked, inside, outside, sure=(0.58, 0.72))
    assert share[asked & ~HEAD & (np.hypot(X - 140, Y - 120) < 22)].mean() > 0.85
    assert share[HEAD & asked].mean() < 0.05
    assert not share[~asked].any()
