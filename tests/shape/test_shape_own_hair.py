from __future__ import annotations

import cv2
import numpy as np
import pytest

from stit_vfx.shape.hair import HairLikeness
from stit_vfx.shape.own_hair import brows_whole, own_hair
from stit_vfx.shape.parts import LABELS, Parts
from stit_vfx.shape.zones import Zones

SIZE = 256
Y, X = np.mgrid[:SIZE, :SIZE].astype(np.float64)
NOWHERE = np.zeros((SIZE, SIZE), np.float32)
SKIN, HAIR, WALL = (0.62, 0.47, 0.40), np.array([0.30, 0.22, 0.16]), (0.55, 0.55, 0.6)

FACE = np.hypot(X - 128, (Y - 140) / 1.25) < 52
CAP = (np.hypot(X - 128, (Y - 120) / 1.15) < 66) & (Y < 130) & ~FACE
EARS = np.hypot(np.abs(X - 128) - 58, (Y - 140) / 2) < 11
BESIDE = (np.abs(np.abs(X - 128) - 72) < 22) & (Y > 150) & ~FACE & ~EARS
BEHIND = (np.abs(X - 244) < 10) & (Y > 60)
SCALP = ((np.hypot(X - 128, (Y - 120) / 1.15) < 60) & (Y < 125)).astype(np.float32)
ZONES = Zones(NOWHERE, NOWHERE, NOWHERE, NOWHERE, FACE.astype(np.float32), NOWHERE, SCALP, NOWHERE)


def strands(seed: int = 0, deviation: float = 0.12) -> np.ndarray:
    """(SIZE, SIZE, 1) factors of fine upright strands."""
    noise = np.random.default_rng(seed).normal(0, 1, (SIZE, SIZE))
    return np.exp(deviation * cv2.GaussianBlur(noise, (0, 0), sigmaX=0.6, sigmaY=3) * 3)[..., None]


def blots(seed: int = 1) -> np.ndarray:
    """(SIZE, SIZE, 1) factors of something out of focus."""
    noise = np.random.default_rng(seed).normal(0, 1, (SIZE, SIZE))
    return np.exp(3.0 * cv2.GaussianBlur(noise, (0, 0), 5))[..., None]


def picture(beside: np.ndarray, behind: np.ndarray | None = None) -> tuple[np.ndarray, Parts]:
    """A head with hair on it, something beside its cheeks and behind it, all of it read as hair."""
    crop = np.broadcast_to(WALL, (SIZE, SIZE, 3)).copy()
    crop = np.where(BESIDE[..., None], beside, crop)
    hair = CAP | BESIDE
    if behind is not None:
        crop, hair = np.where(BEHIND[..., None], behind, crop), hair | BEHIND
    crop = np.where(CAP[..., None], HAIR * strands(), crop)
    crop = np.where((FACE | EARS)[..., None], SKIN, crop)
    labels = np.where(FACE | EARS, LABELS.index("skin"), np.where(hair, LABELS.index("hair"), 0))
    soft = [cv2.GaussianBlur(share, (0, 0), 1.5) for share in Parts.from_labels(labels).shares]
    return np.clip(crop, 0, 1).astype(np.float32), Parts(np.stack(soft))


def own_of(parts: Parts, crop: np.ndarray) -> Parts:
    return own_hair(parts, ZONES, HairLikeness.of(parts, crop, ZONES))


def kept(beside: np.ndarray, behind: np.ndarray | None = None, where: np.ndarray = BESIDE) -> float:
    """Share of what is read as hair there that stays hair; what is on the head always does."""
    crop, parts = picture(beside, behind)
    after = own_of(parts, crop)
    assert np.allclose(after.shares.sum(0), parts.shares.sum(0), atol=1e-5)
    assert after.of("hair")[CAP].sum() > 0.99 * parts.of("hair")[CAP].sum()
    return float(after.of("hair")[where].sum() / parts.of("hair")[where].sum())


@pytest.mark.parametrize("light", [0.6, 1.0, 1.25])
def test_long_hair_behind_the_ears_is_kept_in_shade_and_in_light(light: float) -> None:
    assert kept(light * HAIR * strands(2)) > 0.95


def test_hair_that_gets_lighter_towards_its_tips_is_kept() -> None:
    tips = 1 + 0.8 * np.clip((Y - 160) / 90, 0, 1)[..., None]
    assert kept(HAIR * tips * strands(2)) > 0.95


def test_leaves_out_of_focus_beside_the_cheeks_are_no_hair() -> None:
    """Even of the hair's colour, and even where they touch the head."""
    for colour in (HAIR, np.array([0.30, 0.42, 0.30])):
        assert kept(colour * blots()) < 0.15


def test_hair_of_somebody_behind_is_not_this_heads() -> None:
    assert kept(HAIR * strands(2), HAIR * strands(3), BEHIND) < 0.05


def test_a_head_that_shows_no_hair_tells_nothing() -> None:
    crop, parts = picture(HAIR * blots())
    bald = Zones(NOWHERE, NOWHERE, NOWHERE, NOWHERE, NOWHERE, NOWHERE, NOWHERE, NOWHERE)
    assert HairLikeness.of(parts, crop, bald) is None
    assert own_hair(parts, bald, None) is parts


def test_it_trembles_no_more_than_the_picture() -> None:
    crop, parts = picture(HAIR * blots(), HAIR * strands(3))
    grain = np.random.default_rng(4).normal(0, 0.004, crop.shape).astype(np.float32)
    one, other = (own_of(parts, c).of("hair") for c in (crop, crop + grain))
    assert np.abs(one - other).mean() < 0.003
    assert np.abs(one - other).max() < 0.3


def test_tufts_of_a_brow_that_pass_for_hair_are_brow_and_a_fringe_is_hair() -> None:
    size, shares = 256, np.zeros((len(LABELS), 256, 256), np.float32)
    shares[LABELS.index("skin")] = 1
    for label, rows, columns in (
        ("hair", slice(0, 60), slice(0, size)),
        ("brow", slice(90, 98), slice(60, 110)),
        ("hair", slice(90, 98), slice(80, 96)),
        ("hair", slice(180, 188), slice(60, 90)),
    ):
        shares[:, rows, columns] = 0
        shares[LABELS.index(label), rows, columns] = 1
    parts = Parts(shares)
    after = brows_whole(parts)
    assert after.of("brow")[90:98, 60:110].mean() > 0.95
    assert np.array_equal(after.of("hair")[:60], parts.of("hair")[:60])
    assert np.array_equal(after.of("hair")[180:188], parts.of("hair")[180:188])
    assert np.allclose(after.shares.sum(0), 1)
