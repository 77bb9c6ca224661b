"""Teeth keep their size and place while lips slide over them."""

from __future__ import annotations

import numpy as np
import pytest

from stit_vfx.shape.teeth import kept

_SIZE, _TOP, _BOTTOM, _LEFT, _RIGHT = 96, 40, 60, 20, 76
_Y, _X = np.mgrid[:_SIZE, :_SIZE]
_MOUTH = (_Y >= _TOP) & (_Y < _BOTTOM) & (_X >= _LEFT) & (_X < _RIGHT)
_STILL = np.zeros((_SIZE, _SIZE, 2), np.float32)


def _lips(*, up: float = 0, down: float = 0, out: float = 0) -> np.ndarray:
    """The flow of lips that move by so many px at their edges, and evenly between them."""
    t = np.clip((_Y - _TOP + 0.5) / (_BOTTOM - _TOP), 0, 1)
    across = np.clip((_X - _LEFT + 0.5) / (_RIGHT - _LEFT), 0, 1)
    return np.stack([out * (1 - 2 * across), up * (1 - t) - down * t], -1).astype(np.float32)


def _source(lips: np.ndarray, row: np.ndarray = _MOUTH) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    found = kept(lips, _MOUTH, row, _STILL)
    assert found is not None
    return _X + found.flow[..., 0], _Y + found.flow[..., 1], found.here


@pytest.mark.parametrize("by", [2, 4, 6])
def test_lips_that_close_in_cover_teeth_and_do_not_press_them(by: int) -> None:
    x, y, here = _source(_lips(up=-by, down=-by, out=-by))
    assert 0 < here.sum() < _MOUTH.sum()
    assert np.abs(x - _X)[here].max() < 1e-3
    assert np.abs(y - _Y)[here].max() < 0.5  # edges are known to half a pixel


@pytest.mark.parametrize("by", [1, 2, 3])
def test_a_lip_that_draws_back_stretches_only_what_is_beside_it(by: int) -> None:
    _, y, here = _source(_lips(up=by))
    middle = here & (_X > 30) & (_X < 66)
    far = middle & (2.5 * by + _TOP < _Y) & (_Y < _BOTTOM - 2)
    assert np.abs(y - _Y)[far].max() < 0.1
    assert y[middle].min() > _TOP - 1  # never beyond the plate's own lip
    assert np.diff(y, axis=0)[middle[1:] & middle[:-1]].min() > 0  # and never back


def test_corners_that_draw_apart_leave_the_teeth_in_the_middle() -> None:
    x, _, here = _source(_lips(out=4))
    middle = here & (np.abs(_X - 47.5) < 12)
    assert np.abs(x - _X)[middle].max() < 0.1
    assert x[here].min() > _LEFT - 1
    assert x[here].max() < _RIGHT


def test_a_lip_that_drops_takes_the_room_below_the_teeth() -> None:
    row = _MOUTH & (_Y < _TOP + 8)
    found = kept(_lips(down=4), _MOUTH, row, _STILL)
    assert found is not None
    middle = found.here & (_X > 30) & (_X < 66)
    assert np.abs(found.flow[..., 1])[middle & (_Y < _TOP + 7)].max() < 0.3
    assert (_Y + found.flow[..., 1])[middle].max() < _BOTTOM
    assert found.strain.max() < 0.3


def test_where_teeth_reach_the_lip_it_cannot_drop_far() -> None:
    strains = [kept(_lips(down=by), _MOUTH, _MOUTH, _STILL) for by in (0, 2, 8)]
    none, little, much = (float(each.strain[40:56].mean()) for each in strains if each is not None)
    assert none < 0.05
    assert little < 0.5
    assert much > 2


def test_no_mouth_has_no_teeth() -> None:
    nothing = np.zeros_like(_MOUTH)
    assert kept(_STILL, nothing, nothing, _STILL) is None
