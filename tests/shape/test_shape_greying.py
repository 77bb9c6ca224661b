from __future__ import annotations

import numpy as np
import pytest

from stit_vfx.shape.greying import grey
from stit_vfx.shape.light import LUMA
from stit_vfx.shape.parts import LABELS, Parts

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
    assert np.allclose(grey(parts, lin, 0.7), grey(parts, 4 * lin, 0.7), atol=1e-4)
