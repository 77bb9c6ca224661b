from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from stit_vfx.shape.outline import outlined
from stit_vfx.shape.parts import LABELS, Parts
from stit_vfx.shape.zones import Zones

SIZE = 256
Y, X = np.mgrid[:SIZE, :SIZE].astype(np.float64)
SKIN, HAIR, CURTAIN = np.array([0.62, 0.45, 0.36]), np.array([0.10, 0.09, 0.08]), np.array([0.15, 0.3, 0.6])
HEAD = ("skin", "hair", "neck", "brow", "eye", "lips", "mouth", "glasses", "hat")
FACE = np.hypot((X - 128) / 60, (Y - 120) / 80) < 1
EAR = np.hypot((X - 192) / 12, (Y - 115) / 22) < 1
SCALP = (np.hypot((X - 128) / 66, (Y - 105) / 80) < 1) & (Y < 75)
SPUR = (np.abs(X - 40) < 26) & (np.abs(Y - 90) < 6)  # of the backdrop, beside the hair


def head() -> np.ndarray:
    return FACE | EAR | SCALP


def crop() -> np.ndarray:
    """A head with an ear before a curtain with folds and a golden hem."""
    folds = CURTAIN * (1 + 0.25 * np.sin(X / 7))[..., None]
    wall = np.where(Y[..., None] > 200, np.array([0.7, 0.55, 0.15]), folds)
    picture = np.where(head()[..., None], np.where(SCALP[..., None], HAIR, SKIN), wall)
    grain = np.random.default_rng(3).normal(0, 0.01, picture.shape)
    return cv2.GaussianBlur((picture + grain).astype(np.float32), (0, 0), 0.7)


def labels() -> np.ndarray:
    named = np.full((SIZE, SIZE), LABELS.index("background"))
    named[FACE | EAR] = LABELS.index("skin")
    named[SCALP] = LABELS.index("hair")
    return named


def soft(named: np.ndarray) -> Parts:
    hard = Parts.from_labels(named).shares
    return Parts(np.stack([cv2.GaussianBlur(share, (0, 0), 1.5) for share in hard]))


def zones() -> Zones:
    nowhere = np.zeros((SIZE, SIZE), np.float32)
    skull = np.hypot((X - 128) / 40, (Y - 110) / 60) < 1
    ears = (np.abs(X - 192) < 16) & (np.abs(Y - 115) < 28)
    on_skull, on_ears, on_scalp = (place.astype(np.float32) for place in (skull, ears, SCALP))
    return Zones(nowhere, nowhere, on_skull, nowhere, nowhere, on_ears, on_scalp, nowhere)


def test_half_an_ear_and_a_tuft_of_curtain_are_told_by_their_colour() -> None:
    named = labels()
    named[EAR & (X > 190)] = LABELS.index("background")
    named[SPUR] = LABELS.index("hair")
    whole = outlined(soft(named), crop(), zones()).of(*HEAD)
    assert soft(named).of(*HEAD)[EAR & (X > 194)].mean() < 0.2
    assert whole[EAR & (X > 194)].mean() > 0.9
    assert whole[SPUR & ~cv2.dilate(head().astype(np.uint8), np.ones((9, 9))).astype(bool)].mean() < 0.1
    found, truth = whole > 0.5, head()
    assert (found & truth).sum() / (found | truth).sum() > 0.98


def test_a_patch_that_stands_nowhere_belongs_to_the_head_and_a_hand_does_not() -> None:
    named, picture = labels(), crop()
    patch = np.hypot(X - 110, Y - 130) < 9
    hand = (np.abs(Y - 170) < 12) & (X < 140)
    named[patch], named[hand] = LABELS.index("thing"), LABELS.index("hand")
    picture[hand] = (0.05, 0.25, 0.1)
    shown = outlined(soft(named), picture, zones())
    assert shown.of("thing")[patch].max() < 0.05
    assert shown.of(*HEAD)[patch].min() > 0.9
    inner = cv2.erode(hand.astype(np.uint8), np.ones((11, 11))) > 0
    assert shown.of("hand")[inner].min() > 0.95


def test_the_same_crop_has_the_same_outline_and_shares_sum_to_one() -> None:
    parts, picture = soft(labels()), crop()
    cv2.setRNGSeed(7)
    first = outlined(parts, picture, zones())
    cv2.setRNGSeed(99)
    again = outlined(parts, picture, zones())
    assert np.array_equal(first.shares, again.shares)
    assert np.abs(first.shares.sum(0) - 1).max() < 1e-4
    assert first.shares.min() >= 0


def test_grain_moves_an_outline_by_less_than_a_pixel() -> None:
    """Frames differ by their grain: an outline that jumps with it would boil."""
    parts = soft(labels())
    noise = np.random.default_rng(8).normal(0, 0.01, (SIZE, SIZE, 3)).astype(np.float32)
    one, other = (outlined(parts, crop() + k * noise, zones()).of(*HEAD) for k in (0, 1))
    length = cv2.arcLength(cv2.findContours(head().astype(np.uint8), 0, 1)[0][0], True)
    assert np.abs(one - other).sum() / length < 0.5


@pytest.mark.parametrize("label", ["hair", "background"])
def test_no_patch_of_the_outline_flips_under_the_grain_of_six_frames(label: str) -> None:
    """A patch beside the scalp, in between the colours of hair and curtain. An outline that is the shortest
    edge, with colours learnt by clustering, flips 15 to 84 pixels of it.
    """
    patch = (np.hypot((X - 60) / 18, (Y - 70) / 22) < 1) & ~head()
    named, picture = labels(), crop()
    named[patch] = LABELS.index(label)
    picture[patch] = 0.6 * HAIR + 0.4 * CURTAIN
    picture = cv2.GaussianBlur(picture, (0, 0), 1.0)
    outlines = []
    for seed in range(6):
        noise = np.random.default_rng(seed).normal(0, 0.02, picture.shape).astype(np.float32)
        outlines.append(outlined(soft(named), picture + noise, zones()).of(*HEAD))
    assert (np.ptp(outlines, axis=0) > 0.5).sum() < 8


def test_a_neck_and_a_collar_that_labels_mix_up_are_told_by_their_colour() -> None:
    """At the left a third of the collar is read as neck, at the right as much of the neck as cloth."""
    neck = (np.abs(X - 128) < 34) & (Y > 150) & ~FACE
    shirt = (np.abs(X - 128) < 64) & (Y > 178) & ~neck & ~FACE
    picture, named = crop(), labels()
    picture[neck], picture[shirt] = 0.9 * SKIN, (0.85, 0.86, 0.88)
    picture[(Y > 200) & ~neck & ~shirt] = (0.05, 0.06, 0.08)
    named[neck], named[shirt | ((Y > 200) & ~neck)] = LABELS.index("neck"), LABELS.index("cloth")
    misread_shirt, misread_neck = shirt & (X > 84) & (X < 128), neck & (X > 152) & (Y > 185)
    named[misread_shirt], named[misread_neck] = LABELS.index("neck"), LABELS.index("cloth")
    beard = (FACE & (Y > 130)).astype(np.float32)
    found = outlined(soft(named), picture, replace(zones(), beard=beard)).of(*HEAD)
    assert soft(named).of(*HEAD)[misread_shirt].mean() > 0.8
    assert found[misread_shirt].mean() < 0.15
    assert found[misread_neck].mean() > 0.85


@pytest.mark.parametrize("name", ["background", "cloth"])
def test_without_a_head_nothing_changes(name: str) -> None:
    parts = soft(np.full((SIZE, SIZE), LABELS.index(name)))
    assert outlined(parts, crop(), zones()) is parts


def test_an_outline_gives_up_a_window_that_has_the_colour_of_a_hat() -> None:
    """White labels beside a cheek, taken for hair by the reader: on the head white is far off."""
    picture, named = crop(), labels()
    hat = SCALP & (Y < 55)
    picture[hat] = (0.85, 0.85, 0.85)
    named[hat] = LABELS.index("hat")
    window = (X > 20) & (X < 90) & (np.abs(Y - 130) < 16) & ~head()
    picture[window] = (0.85, 0.85, 0.85)
    picture = cv2.GaussianBlur(picture, (0, 0), 0.7)
    taken = window & (X > 52)
    named[taken] = LABELS.index("hair")
    found = outlined(soft(named), picture, zones()).of(*HEAD)
    edge = cv2.dilate(head().astype(np.uint8), np.ones((9, 9))) > 0
    assert soft(named).of(*HEAD)[taken & ~edge].mean() > 0.8
    assert found[taken & ~edge].mean() < 0.1
    assert found[hat].mean() > 0.9


def test_a_jaw_with_a_rim_of_light_is_head_though_it_looks_like_a_window() -> None:
    """A window as bright as the rim between a jaw and its neck, which is called cloth; the neck is skin."""
    picture, named = crop(), labels()
    neck = (np.abs(X - 128) < 45) & (Y > 150) & ~head()
    rim = neck & (np.abs(np.hypot((X - 128) / 60, (Y - 120) / 80) - 1.08) < 0.07) & (X < 128)
    picture[neck] = SKIN * 0.9
    picture[rim | ((X < 80) & ~head() & (Y > 120))] = 0.97
    named[neck] = LABELS.index("neck")
    shares = soft(named).shares.copy()
    doubt = cv2.GaussianBlur((neck & (X < 110)).astype(np.float32), (0, 0), 1.5)
    shares *= 1 - 0.6 * doubt
    shares[LABELS.index("cloth")] += 0.6 * doubt
    on_face = (FACE | neck).astype(np.float32)
    jaw = (FACE & (Y > 110)).astype(np.float32)
    place = replace(zones(), beard=jaw, face=on_face, throat=on_face * (Y > 150))
    whole = outlined(Parts(shares.astype(np.float32)), picture.astype(np.float32), place).of(*HEAD)
    assert whole[cv2.erode(neck.astype(np.uint8), np.ones((7, 7))) > 0].mean() > 0.9
    assert whole[(X < 60) & (Y > 150)].mean() < 0.05
