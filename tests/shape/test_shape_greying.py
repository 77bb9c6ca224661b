from __future__ import annotations

import numpy as np
import pytest

from stit_vfx.plate.colour import shoulder_encode
from stit_vfx.shape.greying import greyed
from stit_vfx.shape.hair import HairLikeness
from stit_vfx.shape.hair_matte import at_strands
from stit_vfx.shape.light import LUMA
from stit_vfx.shape.parts import LABELS, Parts
from stit_vfx.shape.zones import Zones

SIZE = 96


def head(hair_colour: tuple[float, float, float]) -> tuple[Parts, np.ndarray]:
    """A square face under a cap of hair with strands, (S, S, 3) linear light."""
    labels = np.zeros((SIZE, SIZE), int)
    labels[10:40, 15:80] = LABELS.index("hair")
    labels[35:85, 25:70] = LABELS.index("skin")
    labels[45:48, 30:65] = LABELS.index("brow")
    rng = np.random.default_rng(0)
    strands = np.exp(rng.normal(0, 0.3, (1, SIZE, 1)))
    lin = np.full((SIZE, SIZE, 3), 0.6, np.float32)
    lin[labels == LABELS.index("skin")] = (0.5, 0.33, 0.26)
    hairy = np.isin(labels, [LABELS.index("hair"), LABELS.index("brow")])
    lin[hairy] = (np.array(hair_colour) * strands * np.ones((SIZE, 1, 1)))[hairy]
    return Parts.from_labels(labels), lin.astype(np.float32)


def grey(parts: Parts, lin: np.ndarray, amount: float) -> np.ndarray:
    """Log gain (S, S, 3) of light; where the picture looks like hair is measured as the engine does."""
    nowhere, scalp = np.zeros((SIZE, SIZE), np.float32), np.zeros((SIZE, SIZE), np.float32)
    scalp[8:42, 20:75] = 1
    zones = Zones(nowhere, nowhere, nowhere, nowhere, nowhere, nowhere, scalp, nowhere)
    likeness = HairLikeness.of(parts, shoulder_encode(lin), zones)
    alike = None if likeness is None else likeness.both(SIZE)
    scalp = scalp if likeness is None else scalp * likeness.in_focus(SIZE)
    after = greyed(parts, lin, amount, scalp=scalp, alike=alike)
    return np.where(after == lin, 0, np.log(after / lin))


def saturation(colour: np.ndarray) -> np.ndarray:
    return (colour.max(-1) - colour.min(-1)) / colour.max(-1)


@pytest.mark.parametrize("colour", [(0.06, 0.038, 0.026), (0.14, 0.082, 0.048), (0.48, 0.35, 0.20)])
def test_hair_turns_grey_brighter_and_keeps_its_strands(colour: tuple[float, float, float]) -> None:
    parts, lin = head(colour)
    hair = parts.of("hair") > 0.5
    after = lin * np.exp(grey(parts, lin, 1.0))
    assert saturation(after[hair]).mean() < 0.5 * saturation(lin[hair]).mean()
    bright, dark = (np.log((x @ LUMA)[hair]) for x in (after, lin))
    assert bright.mean() > dark.mean() + (0.2 if lin[hair].mean() < 0.2 else -0.02)
    assert 0.9 < bright.std() / dark.std() < 1.8
    assert np.corrcoef(bright, dark)[0, 1] > 0.9


def test_more_is_greyer_and_nothing_is_nothing() -> None:
    parts, lin = head((0.14, 0.082, 0.048))
    hair = parts.of("hair") > 0.5
    left = [saturation((lin * np.exp(grey(parts, lin, a)))[hair]).mean() for a in (0, 0.3, 0.6, 1.0)]
    assert left == sorted(left, reverse=True)
    assert not grey(parts, lin, 0.0).any()


def test_skin_and_backdrop_keep_their_light() -> None:
    parts, lin = head((0.06, 0.038, 0.026))
    other = parts.of("hair", "brow") == 0
    for amount in (-1.0, 1.0):
        assert not grey(parts, lin, amount)[other].any()


def test_brows_grey_less_than_hair() -> None:
    parts, lin = head((0.06, 0.038, 0.026))
    gain = grey(parts, lin, 0.6)
    assert 0 < gain[parts.of("brow") > 0.5].mean() < gain[parts.of("hair") > 0.5].mean()


def test_younger_darkens_grey_hair_and_leaves_coloured_hair_alone() -> None:
    parts, lin = head((0.45, 0.44, 0.43))
    hair = parts.of("hair") > 0.5
    assert grey(parts, lin, -1.0)[hair].mean() < -0.15
    parts, lin = head((0.14, 0.07, 0.03))
    assert np.abs(grey(parts, lin, -1.0)).max() < 0.02


def test_greying_follows_the_light_of_the_plate() -> None:
    parts, lin = head((0.06, 0.038, 0.026))
    hair = parts.of("hair") > 0.5
    dim, bright = (grey(parts, light * lin, 0.7)[hair].mean() for light in (1, 4))
    assert bright == pytest.approx(dim, rel=0.01)


def painted(label: str, colour: tuple[float, float, float], rows: slice, columns: slice, *, sharp: bool):
    """The head with brown hair, and a piece of the picture beside or above the face: what it is read as, its
    colour, and whether it has strands. Returns parts, light, and where the piece is."""
    parts, lin = head((0.06, 0.038, 0.026))
    where = np.zeros((SIZE, SIZE), bool)
    where[rows, columns] = True
    shares = parts.shares.copy()
    shares[:, where] = 0
    shares[LABELS.index(label), where] = 1
    strands = np.exp(np.random.default_rng(1).normal(0, 0.3, (1, SIZE, 1))) * np.ones((SIZE, 1, 1))
    lin[where] = (np.array(colour) * (strands if sharp else np.ones_like(strands)))[where]
    return Parts(shares), lin, where


NECK = (slice(60, 90), slice(74, 94))


def test_a_blurred_background_beside_the_neck_that_is_read_as_hair_keeps_its_colour() -> None:
    for colour, sharp in (((0.06, 0.038, 0.026), False), ((0.03, 0.06, 0.09), True)):
        parts, lin, where = painted("hair", colour, *NECK, sharp=sharp)
        gain = np.abs(grey(parts, lin, 1.0))
        assert gain[where].mean() < 0.02 < 0.3 < gain[(parts.of("hair") > 0.5) & ~where].mean()


def test_long_hair_of_the_heads_own_colour_turns_grey_to_its_end() -> None:
    parts, lin, where = painted("hair", (0.06, 0.038, 0.026), *NECK, sharp=True)
    gain = np.abs(grey(parts, lin, 1.0))
    assert gain[where].mean() > 0.5 * gain[(parts.of("hair") > 0.5) & ~where].mean()


@pytest.mark.parametrize(("colour", "turns"), [((0.06, 0.038, 0.026), True), ((0.05, 0.06, 0.3), False)])
def test_half_a_fringe_that_is_read_as_a_hat_turns_grey_and_a_blue_hat_does_not(
    colour: tuple[float, float, float], turns: bool
) -> None:
    parts, lin, where = painted("hat", colour, slice(10, 30), slice(40, 60), sharp=True)
    gain = np.abs(grey(parts, lin, 1.0))[where].mean()
    assert gain > 0.2 if turns else gain < 0.01


def test_a_black_hat_that_is_read_as_hair_stays_black() -> None:
    parts, lin = head((0.003, 0.003, 0.003))
    assert np.abs(grey(parts, lin, 1.0))[parts.of("hair") > 0.5].max() < 0.05


def test_white_hair_in_warm_light_stays_as_warm_as_the_light() -> None:
    warm = np.array([1.0, 0.8, 0.66], np.float32)
    parts, lin = head((0.45, 0.44, 0.43))
    gain = grey(parts, lin * warm, 1.0)[parts.of("hair") > 0.5]
    assert np.abs(gain).max() < 0.12


@pytest.mark.parametrize("light", [(1.0, 1.0, 1.0), (1.3, 0.95, 0.6), (0.8, 1.0, 1.4)])
def test_dark_hair_turns_as_grey_as_the_light_is(light: tuple[float, float, float]) -> None:
    """Half of the light's tint at least, and never more than all of it."""
    parts, lin = head((0.06, 0.058, 0.056))
    labels = parts.shares.argmax(0)
    labels[50:56, 32:62] = LABELS.index("eye")
    lin[50:56, 32:62] = (0.45, 0.41, 0.39)
    after = greyed(Parts.from_labels(labels), (lin * light).astype(np.float32), 1.0)
    red, green, blue = np.log(after[labels == LABELS.index("hair")].mean(0))
    for seen, true in ((red - green, light[0] / light[1]), (blue - green, light[2] / light[1])):
        low, high = sorted((0.5 * np.log(true), np.log(true)))
        assert low - 0.1 < seen < high + 0.1


def test_red_skin_beside_white_eyes_turns_no_brow_red() -> None:
    parts, lin = head((0.06, 0.058, 0.056))
    labels = parts.shares.argmax(0)
    labels[50:56, 32:62] = LABELS.index("eye")
    lin[50:56, 32:62] = (0.45, 0.42, 0.40)
    lin[labels == LABELS.index("skin")] = (0.5, 0.2, 0.11)
    after = greyed(Parts.from_labels(labels), lin, 1.0)
    assert saturation(after[labels == LABELS.index("brow")]).max() < 0.12


def test_a_lock_that_is_read_as_skin_or_lies_in_the_shade_turns_grey_with_the_rest() -> None:
    """And an ear of that size, read as skin as well, keeps the colour of skin."""
    for colour, label in (((0.09, 0.06, 0.04), "skin"), ((0.006, 0.004, 0.003), "hair")):
        parts, lin, where = painted(label, colour, slice(18, 34), slice(70, 75), sharp=True)
        after = lin * np.exp(grey(parts, lin, 1.0))
        assert saturation(after[where]).mean() < 0.5 * saturation(lin[where]).mean()
    parts, lin, where = painted("skin", (0.5, 0.33, 0.26), slice(18, 34), slice(70, 75), sharp=True)
    assert np.abs(grey(parts, lin, 1.0))[where].mean() < 0.05


@pytest.mark.parametrize("off_px", [-2, 0, 2])
def test_the_soft_edge_of_hair_is_found_where_it_is_and_not_where_it_is_read(off_px: int) -> None:
    """Hair mixed by a known matte into a wall, and what the hair alone would be."""
    side = 256
    down = np.arange(side)[:, None] * np.ones((1, side))
    truth = np.clip((down - 118) / 6, 0, 1)
    strands = np.exp(np.random.default_rng(0).normal(0, 0.3, (1, side, 1)))
    hair, wall = np.array([0.12, 0.08, 0.05]) * strands, np.array([0.5, 0.5, 0.52])
    lin = (truth[..., None] * hair + (1 - truth[..., None]) * wall).astype(np.float32)
    labels = np.where(down >= 121 + off_px, LABELS.index("hair"), LABELS.index("background"))
    parts = Parts.from_labels(labels)
    matte, own = at_strands(parts.of("hair"), parts, lin)
    left, read = (np.abs(m - truth)[110:132].mean() for m in (matte, parts.of("hair")))
    assert left < 0.07
    assert left < 0.6 * read or not off_px
    # Where half of a pixel is hair its colour is that of the hair below, and the wall is none of it.
    there = np.abs(matte - 0.5) < 0.4
    assert np.abs(np.log(own[there].mean(0) / hair.mean((0, 1)))).max() < 0.25
    assert not matte[:100].any()
    assert (own[140:] == lin[140:]).all()
