from __future__ import annotations

import cv2
import numpy as np
import pytest

from stit_vfx.plate.warp import sample
from stit_vfx.shape.rims import narrow_rims

SIZE, PX_PER_CM = 192, 8.0
Y, X = np.mgrid[:SIZE, :SIZE].astype(np.float32)
FACE = (np.abs(X - 96) < 80) & (np.abs(Y - 96) < 90)
# The chart as on a flat face: from -80 to 80 degrees across, and all of it below the mouth but the middle.
CHART = np.where(FACE[..., None], np.stack([X - 96, np.where(np.abs(X - 96) < 25, 0.0, -40.0)], -1), -1e4)
RIM = np.abs(X - 40) < 3
DARK, BRIGHT = np.array([0.2, 0.12, 0.08]), np.array([0.9, 0.92, 1.0])


def turned() -> np.ndarray:
    """(S, S, 2): from 16 to 64 px across, the plate's 32 to 48: three times as wide; even passages beside."""
    there = np.interp(X, [0, 16, 64, 110, SIZE], [0, 32, 48, 110, SIZE])
    return np.stack([there - X, np.zeros_like(X)], -1).astype(np.float32)


def crop(rim: np.ndarray = RIM) -> np.ndarray:
    grain = np.random.default_rng(2).normal(1, 0.03, (SIZE, SIZE, 1))
    return np.where(rim[..., None], BRIGHT, DARK * grain).astype(np.float32)


def width_px(picture: np.ndarray) -> float:
    """Of what is bright, half way up, on the rows in the middle."""
    return float((picture[60:130, :, 1] > 0.5).sum(1).mean())


def kept(lin: np.ndarray, flow: np.ndarray, cloth: np.ndarray | None = None) -> np.ndarray:
    cloth = np.zeros((SIZE, SIZE)) if cloth is None else cloth
    return narrow_rims(flow, lin, face=FACE, chart_deg=CHART, cloth=cloth, px_per_cm=PX_PER_CM)


def test_a_rim_that_a_turn_draws_out_stays_nearly_as_narrow() -> None:
    lin, flow = crop(), turned()
    here = np.stack([X, Y], -1)
    before, drawn, after = (width_px(sample(lin, here + f)) for f in (0 * flow, flow, kept(lin, flow)))
    assert drawn > 2.5 * before
    assert after < 1.45 * before


def test_nothing_folds_and_the_middle_of_the_face_keeps_its_place() -> None:
    lin, flow = crop(), turned()
    out = kept(lin, flow)
    step = 1 + np.gradient(out[..., 0], axis=1)
    assert step[20:170].min() > 0
    assert np.array_equal(out[~FACE], flow[~FACE])
    assert np.array_equal(out[:, 72:120], flow[:, 72:120])


@pytest.mark.parametrize(
    "lin",
    [crop(RIM & False), crop(np.abs(X - 40) < 14), np.asarray(crop() ** 0.04)],
    ids=["none", "a wide light", "a faint one"],
)
def test_without_a_rim_the_flow_keeps_its_bits(lin: np.ndarray) -> None:
    assert np.array_equal(kept(lin, turned()), turned())


def test_a_collar_is_no_rim() -> None:
    cloth = cv2.GaussianBlur(RIM.astype(np.float32), (0, 0), 1.0)
    assert np.array_equal(kept(crop(), turned(), np.minimum(2 * cloth, 1)), turned())


def test_where_nothing_is_drawn_out_nothing_changes() -> None:
    flow = np.zeros((SIZE, SIZE, 2), np.float32)
    flow[..., 0] = 5.0
    assert np.array_equal(kept(crop(), flow), flow)
