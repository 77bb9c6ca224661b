"""Lips that the fit takes for parted, though in the plate they touch but for a glint of teeth."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from stit_vfx.shape.code import crop_affine
from stit_vfx.shape.flow import change_fields, warp
from stit_vfx.shape.light import LUMA
from stit_vfx.shape.lips import Edges, lips_touch
from stit_vfx.shape.moves import apply_moves
from stit_vfx.training.directions import default_directions

SIZE = 384  # twice that of the faces that `face` makes
SKIN, LIP, LINE = np.array([0.42, 0.28, 0.22]), np.array([0.26, 0.13, 0.12]), np.array([0.10, 0.045, 0.04])
TOOTH, CAVE = np.array([0.36, 0.33, 0.30]), np.array([0.02, 0.008, 0.007])
MOVES = {d["name"]: d["shape"] for d in default_directions()}
STRENGTHS = (0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)


@pytest.fixture
def quad() -> np.ndarray:
    """The quad that is the picture itself."""
    low, high = -0.5, SIZE - 0.5
    return np.array([[low, low], [low, high], [high, high], [high, low]])


@pytest.fixture
def parted(face):
    """A code whose lips are 0.6 cm apart, as fits of such mouths have them."""
    small = np.array([[-0.5, -0.5], [-0.5, 191.5], [191.5, 191.5], [191.5, -0.5]])
    return face({"jawOpen": 0.1, "mouthUpperUp": 0.2, "mouthLowerDown": 0.2}, seed=1).through(
        crop_affine(small, SIZE)
    )


def plate(model, code, *, open_cm: float = 0.0, glints=(0.42, 0.58)) -> np.ndarray:
    """Skin and lips that meet in a dark line halfway between the fitted ones, and glints of teeth on it; or
    that are so far apart over a dark mouth.
    """
    edges = Edges.of(model, code)
    y, x = np.mgrid[:SIZE, :SIZE].astype(float)
    t, depth = edges.place(x, y)
    off = depth - np.interp(t, np.linspace(0, 1, len(edges.upper)), (edges.upper + edges.lower) / 2)
    bow = np.sqrt(np.maximum(1 - (2 * t - 1) ** 2, 0))
    on = (t > -0.02) & (t < 1.02)
    out = np.where((on & (np.abs(off) < 14 * bow + 3))[..., None], LIP, SKIN)
    line = np.exp(-((off / 1.8) ** 2))[..., None] * on[..., None]
    out = out * (1 - line) + LINE * line
    for middle in glints:
        glint = np.exp(-((((t - middle) * edges.length / 7) ** 2 + ((off + 1) / 2.5) ** 2) ** 2))[..., None]
        out = out * (1 - glint) + TOOTH * glint
    half = open_cm / 2 * code.scale * bow
    out = np.where(((np.abs(off) < half) & on)[..., None], CAVE, out)
    grain = np.random.default_rng(5).normal(0, 0.004, out.shape)
    return np.asarray(np.maximum(cv2.GaussianBlur(out, (0, 0), 0.8) + grain, 0), np.float32)


def smiled(model, code, picture, quad, strength: float) -> tuple[np.ndarray, float]:
    """The plate after a smile, and the most that is new in the mouth."""
    after = apply_moves(model, code, [(MOVES["smile"], strength)])
    fields = change_fields(model, code, after, quad=quad, crop_lin=picture)
    share = fields.revealed[..., None]
    return (1 - share) * warp(picture, fields.flow) + share * fields.mouth_lin, float(fields.revealed.max())


def dark_px(picture: np.ndarray) -> float:
    """Area below the nose that is darker than half a lip."""
    around = picture[SIZE // 2 :, SIZE // 4 : -SIZE // 4] @ LUMA
    return float((around < 0.5 * (LIP @ LUMA)).sum())


@pytest.mark.parametrize("strength", STRENGTHS)
def test_a_smile_opens_no_slit_between_lips_that_touch(model, parted, quad, strength: float) -> None:
    assert Edges.of(model, parted).gap > 0.35 * parted.scale  # as wide apart as the fit has them
    picture = plate(model, parted)
    out, new = smiled(model, parted, picture, quad, strength)
    assert new < 0.05
    assert dark_px(out) < 1.1 * dark_px(picture) + 5


def test_without_the_pictures_word_it_would(model, parted, quad, monkeypatch) -> None:
    monkeypatch.setattr("stit_vfx.shape.flow.lips_touch", lambda *_: 0.0)
    picture = plate(model, parted)
    out, new = smiled(model, parted, picture, quad, 0.8)
    assert new > 0.5
    assert dark_px(out) > 3 * dark_px(picture)


def test_lips_that_part_in_the_plate_cease_to_touch_little_by_little(model, parted) -> None:
    touch = [
        lips_touch(model, parted, plate(model, parted, open_cm=cm)) for cm in np.arange(0.06, 0.31, 0.01)
    ]
    assert touch[0] > 0.99
    assert touch[-1] < 0.01
    assert max(np.abs(np.diff(touch))) < 0.25


def test_lips_with_a_streak_of_teeth_along_them_do_not_touch(model, parted) -> None:
    ends = (0.54, 0.62, 0.70, 0.78, 0.86)
    touch = [
        lips_touch(model, parted, plate(model, parted, glints=np.arange(0.14, end, 0.08))) for end in ends
    ]
    assert lips_touch(model, parted, plate(model, parted)) > 0.99
    assert touch[-1] < 0.01
    assert all(np.diff(touch) <= 0)


def test_a_smile_has_no_jump_while_lips_part_in_the_plate(model, parted, quad) -> None:
    """Between frames of speech: what is dark after the smile grows evenly, as it does in the plate."""
    plates = [plate(model, parted, open_cm=cm) for cm in np.arange(0.0, 0.40, 0.06)]
    dark = np.array([dark_px(smiled(model, parted, each, quad, 0.5)[0]) for each in plates])
    steps = np.diff(dark)
    assert steps.min() > 0
    assert steps.max() < 0.3 * (dark[-1] - dark[0])


def test_what_opens_a_jaw_parts_lips_that_touch(model, parted, quad) -> None:
    picture = plate(model, parted)
    after = apply_moves(model, parted, [(MOVES["mouth_open"], 0.8)])
    fields = change_fields(model, parted, after, quad=quad, crop_lin=picture)
    assert (fields.revealed > 0.5).sum() > 0.5 * parted.scale * Edges.of(model, parted).length


def test_the_code_is_what_it_was_where_lips_touch_in_fit_and_picture_alike(model, face) -> None:
    after = apply_moves(model, face(seed=1), [(MOVES["smile"], 0.8)])
    assert after.touching is None
    assert after.lips_touch(1.0) is after
