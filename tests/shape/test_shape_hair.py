from __future__ import annotations

import cv2
import numpy as np
import pytest
from test_shape_own_hair import BEHIND, BESIDE, CAP, HAIR, SIZE, ZONES, Y, blots, picture, strands

from stit_vfx.shape.hair import GRID, HairLikeness, on_grid
from stit_vfx.shape.parts import LABELS, Parts

STRIP = BESIDE & (Y > 170) & (Y < 240)


def inside(where: np.ndarray) -> np.ndarray:
    """(GRID, GRID) places well within."""
    return on_grid(cv2.erode(where.astype(np.float32), np.ones((17, 17), np.uint8))) > 0.9


def likeness(beside: np.ndarray, light: float = 1.0) -> HairLikeness:
    crop, parts = picture(beside, HAIR * strands(3))
    found = HairLikeness.of(parts, light * crop, ZONES)
    assert found is not None
    return found


@pytest.mark.parametrize("light", [0.5, 1.0])
def test_hair_like_that_of_the_scalp_is_so_in_both_ways_wherever_it_is(light: float) -> None:
    """Somebody else's, too: whose it is, is not asked here."""
    found = likeness(0.8 * HAIR * strands(2), light)
    for where in (CAP, STRIP, BEHIND):
        assert np.median(found.colour[inside(where)]) > 0.9
        assert np.median(found.focus[inside(where)]) > 0.9


def test_leaves_of_another_colour_and_leaves_out_of_focus_fail_in_one_way_each() -> None:
    green, blurred = likeness(np.array([0.30, 0.42, 0.30]) * strands(2)), likeness(HAIR * blots())
    assert np.median(green.colour[inside(STRIP)]) < 0.1 < 0.9 < np.median(green.focus[inside(STRIP)])
    assert blurred.focus[inside(STRIP)].max() < 0.1
    assert blurred.in_focus(SIZE)[STRIP].mean() < 0.1 < 0.9 < green.in_focus(SIZE)[STRIP].mean()
    assert np.median(green.both(SIZE)[STRIP]) < 0.1
    assert np.median(blurred.both(SIZE)[STRIP]) < 0.1


def test_the_rim_of_what_is_out_of_focus_is_so_too() -> None:
    """Beside a jaw, where beards grow, such a rim would turn grey."""
    rim = BESIDE & (Y > 180) & ~cv2.erode(BESIDE.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    assert likeness(HAIR * blots()).both(SIZE)[rim].max() < 0.2


def test_a_hat_or_a_bald_head_tells_nothing() -> None:
    crop, parts = picture(HAIR * strands(2))
    for over in ("hat", "skin"):
        labels = np.where(CAP, LABELS.index(over), parts.shares.argmax(0))
        assert HairLikeness.of(Parts.from_labels(labels), crop, ZONES) is None


def test_it_is_smooth_in_the_picture() -> None:
    crop, parts = picture(HAIR * strands(2), HAIR * strands(3))
    grain = np.random.default_rng(4).normal(0, 0.004, crop.shape).astype(np.float32)
    one, other = (HairLikeness.of(parts, c, ZONES) for c in (crop, crop + grain))
    assert one is not None
    assert other is not None
    hairy = on_grid(parts.of("hair")) > 0.5
    assert hairy.shape == (GRID, GRID)
    assert np.abs(one.both(GRID) - other.both(GRID))[hairy].mean() < 0.01
