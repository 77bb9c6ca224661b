"""Teeth keep their size and place while lips slide over them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stit_vfx.shape.lips import Edges
from stit_vfx.shape.teeth import kept, row_end

_SIZE, _PX, _WIDE, _HIGH = 128, 10.0, 60.0, 16.0  # a mouth of 6 by 1.6 cm
_Y, _X = np.mgrid[:_SIZE, :_SIZE].astype(float)
_STILL = np.zeros((_SIZE, _SIZE, 2))
_T = np.linspace(0, 1, 49)
_BOW = np.sqrt(np.maximum(1 - (2 * _T - 1) ** 2, 0))


def _edges(*, up: float = 0.0, down: float = 0.0, out: float = 0.0) -> Edges:
    """A mouth in the picture's middle whose lips have moved by so many px from rest."""
    length = _WIDE + 2 * out
    origin = np.array([(_SIZE - 1) / 2 - length / 2, (_SIZE - 1) / 2])
    ends = np.array([[[0.0, 0.0], [0.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]]])
    upper, lower = -(_HIGH / 2 + up) * _BOW, (_HIGH / 2 + down) * _BOW
    return Edges(origin, np.array([1.0, 0.0]), np.array([0.0, 1.0]), length, upper, lower, ends)


def _kept(after: Edges, *, row: float = 1.0):
    """What is kept of a mouth whose upper teeth fill this share of its height; with where it comes from."""
    rest = _edges()
    found = kept(rest, after, _STILL, rest.upper + row * (rest.lower - rest.upper), _PX)
    inside = after.within(_X, _Y) > 0.99
    return found, _X + found.flow[..., 0], _Y + found.flow[..., 1], inside


_MIDDLE = np.abs(_X - (_SIZE - 1) / 2) < 20


@pytest.mark.parametrize("by", [2, 4, 6])
def test_lips_that_close_in_cover_teeth_and_do_not_press_them(by: int) -> None:
    found, x, y, inside = _kept(_edges(up=-by, down=-by))
    middle = inside & _MIDDLE
    assert middle.sum() > 50
    assert np.abs(x - _X)[middle].max() < 1e-6
    assert np.abs(y - _Y)[middle].max() < 1e-6
    assert found.upper[middle].all()


@pytest.mark.parametrize("by", [1, 2, 3])
def test_an_upper_lip_that_draws_back_stretches_only_what_is_beside_it(by: int) -> None:
    _, _, y, inside = _kept(_edges(up=by))
    middle = inside & _MIDDLE
    far = middle & ((_SIZE - 1) / 2 - _HIGH / 2 + 3 * by < _Y) & (_Y < (_SIZE - 1) / 2 + _HIGH / 2 - 2)
    assert np.abs(y - _Y)[far].max() < 0.1
    top = (_SIZE - 1) / 2 - _HIGH / 2 * np.interp((_X - 33.5) / 60, _T, _BOW)
    assert (y - top)[middle].min() > -0.5  # never beyond the plate's own lip
    assert np.diff(y, axis=0)[middle[1:] & middle[:-1]].min() > 0  # and never back


def test_corners_that_draw_apart_leave_the_teeth_in_the_middle() -> None:
    _, x, _, inside = _kept(_edges(out=4))
    assert np.abs(x - _X)[inside & _MIDDLE].max() < 0.1
    assert x[inside].min() > 33.5 - 0.5
    assert x[inside].max() < 93.5 + 0.5


def test_corners_that_come_in_close_in_the_dark_on_both_sides_alike() -> None:
    found, _, _, inside = _kept(_edges(out=-5))
    shade = np.where(inside, found.unseen, 0)
    assert np.allclose(shade, shade[:, ::-1], atol=1e-6)
    assert not shade[inside & (np.abs(_X - 63.5) < 15)].any()
    columns = np.flatnonzero(inside.any(0))
    along = shade.max(0)[columns[0] : columns[-1] + 1]
    assert along[0] > 0.3
    assert np.abs(np.diff(along)).max() < 0.2  # without a step


@pytest.mark.parametrize("down", [3, 8, 20])
def test_where_teeth_reach_the_lip_the_dark_opens_below_them(down: int) -> None:
    """Nothing is smeared: the row keeps its size up to a tenth of it, and ends in one smooth curve."""
    found, _, y, inside = _kept(_edges(down=down))
    middle = inside & _MIDDLE
    shown = middle & (found.unseen < 0.5)
    assert np.abs(y - _Y)[shown].max() < 0.1 * _HIGH
    assert (found.unseen > 0.5)[middle].sum() > 0.5 * (down - 0.1 * _HIGH) * 40 * 0.8
    ends = np.array([np.flatnonzero(column)[-1] for column in shown.T if column.any()])
    assert np.abs(np.diff(ends)).max() <= 1
    assert np.array_equal(ends, ends[::-1])


def _lopsided(*, down: float = 0.0, wave: float = 0.0) -> Edges:
    """A mouth whose lower lip covers more of the right teeth than of the left ones, and waves."""
    rest = _edges(down=down)
    skew = 2.0 * np.sin(np.pi * (2 * _T - 1)) * _BOW - wave * np.sin(9 * np.pi * _T) * _BOW
    return replace(rest, lower=rest.lower - skew)


@pytest.mark.parametrize("down", [3, 5, 8, 12])
@pytest.mark.parametrize("wave", [0.0, 0.8])
def test_a_lip_that_covers_teeth_unevenly_leaves_an_even_row(down: int, wave: float) -> None:
    """Ends of the row at the left and at the right: the lip's differ by 4 px, 0.4 cm."""
    rest, after = _lopsided(wave=wave), _lopsided(down=down, wave=wave)
    found = kept(rest, after, _STILL, rest.lower, _PX)
    shown = (after.within(_X, _Y) > 0.99) & (found.unseen < 0.5)
    columns = np.arange(40, 88)  # of 34 to 93
    ends = np.array([np.flatnonzero(shown[:, x])[-1] for x in columns])
    assert np.abs(ends - ends[::-1]).max() <= 2
    assert np.abs(ends - ends[::-1]).mean() < 0.8
    assert np.abs(np.diff(ends)).max() <= 2  # without a jag
    bend = np.polyfit(columns, ends, 2)
    assert np.abs(ends - np.polyval(bend, columns)).max() < 1.2  # one arc
    hidden = (after.within(_X, _Y) > 0.99) & (found.unseen > 0.5)
    for side in (slice(36, 42), slice(86, 92)):  # the dark reaches both corners
        assert hidden[:, side].any(0).mean() > 0.6


def test_an_open_mouth_is_stretched_below_the_row_and_keeps_the_lower_teeth_at_their_lip() -> None:
    found, _, y, inside = _kept(_edges(down=4), row=0.4)
    middle = inside & _MIDDLE
    assert np.abs(y - _Y)[middle & (_Y < (_SIZE - 1) / 2 - 3)].max() < 0.3
    last = middle & ~np.roll(middle, -1, 0)
    assert np.abs(y - _Y + 4)[last & (np.abs(_X - 63.5) < 5)].max() < 0.5
    assert found.unseen[middle].max() < 0.2


def test_lips_that_drop_together_take_teeth_along_rather_than_open_a_gap() -> None:
    found, _, y, inside = _kept(_edges(up=-3, down=3))
    middle = inside & _MIDDLE
    assert 1.5 < (_Y - y)[middle & (np.abs(_Y - 63.5) < 3)].mean() < 3.0
    assert (found.unseen > 0.5)[middle].mean() < 0.05


@pytest.mark.parametrize("down", [1.0, 2.0, 2.4])
def test_a_nod_by_which_lips_drop_a_little_past_teeth_opens_no_dark_below_them(down: float) -> None:
    rest, after = _lopsided(), _lopsided(down=down)
    after = replace(after, upper=after.upper + down * _BOW)
    found = kept(rest, after, _STILL, rest.lower, _PX)
    assert found.unseen[after.within(_X, _Y) > 0.99].max() < 0.1


def test_an_upper_lip_that_drops_with_a_jaw_covers_the_teeth() -> None:
    _, _, y, inside = _kept(_edges(up=-3, down=12))
    assert np.abs(y - _Y)[inside & _MIDDLE & (_Y < 65)].max() < 0.1


def test_what_does_not_move_keeps_its_place_and_hides_nothing() -> None:
    found, x, y, inside = _kept(_edges())
    assert np.abs(x - _X)[inside].max() < 1e-9
    assert np.abs(y - _Y)[inside].max() < 1e-9
    assert not found.unseen[inside].any()


def _teeth(height: float, *, dark: float = 0.02) -> np.ndarray:
    """Light of a mouth with teeth over its upper `height` px, with gaps between them, and the dark below."""
    rest = _edges()
    t, depth = rest.place(_X, _Y)
    upper = np.interp(t, _T, rest.upper)
    tooth = (depth - upper < height) & (np.mod(_X, 7) > 0.9)
    return np.where(tooth, 1.0 - 0.5 * np.abs(2 * t - 1), dark)


@pytest.mark.parametrize("height", [5.0, 8.0])
def test_the_row_ends_where_the_dark_begins(height: float) -> None:
    rest = _edges()
    end = row_end(_teeth(height), rest, _PX)
    middle = slice(10, -10)
    assert np.abs(end - rest.upper - height)[middle].max() < 1.0


def test_a_row_that_reaches_the_lip_ends_there() -> None:
    rest = _edges()
    end = row_end(_teeth(99.0), rest, _PX)
    assert np.abs(end - rest.lower)[8:-8].max() < 0.6


def test_a_mouth_without_teeth_has_no_row_and_no_trouble() -> None:
    rest = _edges()
    end = row_end(np.zeros((_SIZE, _SIZE)), rest, _PX)
    assert (end >= rest.upper - 1e-9).all()
    assert (end <= rest.lower + 1e-9).all()
