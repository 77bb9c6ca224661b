from __future__ import annotations

import cv2
import numpy as np

from stit_vfx.packs.layers import Layers
from stit_vfx.shape.beside import standing_beside
from stit_vfx.shape.parts import LABELS, Parts
from stit_vfx.shape.zones import Zones

SIZE = 320
Y, X = np.mgrid[:SIZE, :SIZE].astype(np.float64)
SKIN, WALL, LIGHT = np.array([0.62, 0.45, 0.36]), np.array([0.2, 0.22, 0.25]), np.array([0.6, 0.75, 0.95])
WHITE, COAT = np.array([0.85, 0.86, 0.88]), np.array([0.05, 0.06, 0.08])
FACE = np.hypot((X - 160) / 70, (Y - 130) / 100) < 1
NECK = (np.abs(X - 160) < 45) & (Y > 130)
HEAD = FACE | NECK
SHIRT = (np.abs(X - 160) < 68) & (200 + 0.5 * np.abs(np.abs(X - 160) - 50) < Y) & ~HEAD  # to a tip by the jaw
CLOTHES = (Y > 225) & ~HEAD & ~SHIRT
NOWHERE = np.zeros((SIZE, SIZE), np.float32)


def crop(*, rim: bool = False) -> np.ndarray:
    """A head with a white collar and a dark coat before a wall; with light along its left side, 3 px wide."""
    picture = np.where(HEAD[..., None], SKIN, WALL)
    picture[SHIRT], picture[CLOTHES] = WHITE, COAT
    if rim:
        picture[(cv2.dilate(HEAD.astype(np.uint8), np.ones((7, 7))) > 0) & ~HEAD & (X < 160) & (Y < 200)] = (
            LIGHT
        )
    grain = np.random.default_rng(3).normal(0, 0.008, picture.shape)
    return cv2.GaussianBlur((picture + grain).astype(np.float32), (0, 0), 0.6)


def parts() -> Parts:
    """Labels as a network gives them, for which the collar at the left is rather wall than cloth."""
    named = np.where(HEAD, LABELS.index("skin"), LABELS.index("background"))
    named[SHIRT | CLOTHES] = LABELS.index("cloth")
    named[NECK & ~FACE] = LABELS.index("neck")
    shares = Parts.from_labels(named).shares
    at_left = SHIRT & (X < 160)
    shares[LABELS.index("cloth")][at_left], shares[LABELS.index("background")][at_left] = 0.25, 0.75
    return Parts(np.stack([cv2.GaussianBlur(share, (0, 0), 1.0) for share in shares]))


def turned(px: float) -> np.ndarray:
    """The crop with all of the head moved to the right, less and less down the neck."""
    beard = (FACE & (Y > 140)).astype(np.float32)
    zones = Zones(beard, NOWHERE, NOWHERE, NOWHERE, FACE.astype(np.float32), NOWHERE, NOWHERE, NOWHERE)
    flow = np.zeros((SIZE, SIZE, 2))
    flow[..., 0] = -px * np.clip((280 - Y) / 60, 0, 1)
    apart = Layers.of(crop(), parts(), zones, turns=True)
    return apart.together(crop(), apart.moved(flow)[0], flow)


def alike(picture: np.ndarray, colour: np.ndarray) -> np.ndarray:
    return np.linalg.norm(picture - colour, axis=-1) < 0.2


def test_a_collar_read_as_wall_does_not_turn_with_the_head() -> None:
    """Beyond clothes and head nothing changes but where the head, and the edge of it, comes to lie."""
    off = cv2.distanceTransform((~(SHIRT | HEAD)).astype(np.uint8), cv2.DIST_L2, 5)
    for px in (-14, 14):
        after = turned(px)
        skin = alike(after, SKIN)
        assert skin[off > 4].sum() > 100  # the jaw did move out over it
        changed = np.abs(after - crop()).max(2) > 0.05
        assert not (changed & (off > 1.5) & (cv2.dilate(skin.astype(np.uint8), np.ones((5, 5))) == 0)).any()


def test_clothes_that_a_turned_head_does_not_reach_stay() -> None:
    beyond = (SHIRT | CLOTHES) & (cv2.dilate(HEAD.astype(np.uint8), np.ones((41, 41))) == 0)
    for px in (-14, 14):
        assert np.abs(turned(px) - crop())[beyond].max() < 1e-4


def test_a_jaw_goes_over_the_clothes_beside_it() -> None:
    for px in (-14, 14):
        assert (alike(turned(px), SKIN) & SHIRT).sum() > 500


def test_light_along_a_head_goes_with_it_and_a_collar_in_the_same_place_stays() -> None:
    head, cloth = (m.astype(np.float32) for m in (HEAD, CLOTHES | SHIRT))
    stays = standing_beside(crop(rim=True), head, np.ones_like(cloth), NOWHERE, NOWHERE)
    near = cv2.distanceTransform((~HEAD).astype(np.uint8), cv2.DIST_L2, 5)
    middle = (near > 1.5) & (near < 3)
    assert stays[middle & alike(crop(rim=True), LIGHT)].mean() < 0.05
    stays = standing_beside(crop(), head, cloth, NOWHERE, NOWHERE)
    assert np.median(stays[middle & SHIRT & (Y < 206)]) > 0.9


def test_nothing_stays_by_hair_and_far_from_clothes() -> None:
    head = HEAD.astype(np.float32)
    assert not standing_beside(crop(), head, NOWHERE, NOWHERE, NOWHERE).any()
    assert not standing_beside(crop(), head, np.ones_like(head), np.ones_like(head), NOWHERE).any()
