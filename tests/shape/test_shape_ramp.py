from __future__ import annotations

import numpy as np
import pytest

from stit_vfx.shape.ramp import ramp, smoothstep


def test_it_runs_from_no_to_yes_without_corners() -> None:
    x = np.linspace(-1, 2, 3001)
    share = smoothstep(x)
    assert not share[x <= 0].any()
    assert (share[x >= 1] == 1).all()
    assert smoothstep(0.25) == pytest.approx(3 * 0.25**2 - 2 * 0.25**3)
    slope = np.diff(share) / np.diff(x)
    assert slope.min() >= 0
    assert np.abs(np.diff(slope)).max() < 0.007  # a straight ramp has corners of 1 here


def test_between_two_numbers_either_way_up() -> None:
    assert ramp(np.array([1.0, 2.0, 2.5, 3.0, 4.0]), 2, 3) == pytest.approx([0, 0, 0.5, 1, 1])
    assert ramp(np.array([1.0, 4.0]), 3, 2) == pytest.approx([1, 0])


def test_the_precision_is_that_of_the_values() -> None:
    assert ramp(np.zeros(3, np.float32), 0.1, 0.2).dtype == np.float32
