from __future__ import annotations

import numpy as np

from stit_vfx.shape.mixtures import COMPONENTS, mixture

COLOURS = np.array([[200.0, 150, 120], [40, 35, 30], [120, 120, 180], [90, 60, 50], [230, 230, 235]])


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Colours (2000, 3) around five, under grain, and which of the five each is."""
    random = np.random.default_rng(seed)
    which = np.arange(2000) % len(COLOURS)
    return COLOURS[which] + random.normal(0, 6, (2000, 3)), which


def parts(model: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    flat = model[0]
    means = flat[COMPONENTS : 4 * COMPONENTS].reshape(COMPONENTS, 3)
    return flat[:COMPONENTS], means, flat[4 * COMPONENTS :].reshape(COMPONENTS, 3, 3)


def test_five_colours_are_found_with_their_shares_and_spreads() -> None:
    """What weighs nothing counts for nothing."""
    colours, which = drawn(0)
    colours[::11] = (10, 250, 10)
    weights = np.ones(2000)
    weights[::11] = 0
    shares, means, spreads = parts(mixture(colours, weights))
    for k, colour in enumerate(COLOURS):
        near = int(np.linalg.norm(means - colour, axis=1).argmin())
        assert np.linalg.norm(means[near] - colour) < 2
        assert abs(shares[near] - weights[which == k].sum() / weights.sum()) < 0.02
        assert np.abs(spreads[near] - 45 * np.eye(3)).max() < 8  # 6 squared and the least of 9


def test_other_grain_gives_the_same_mixture_in_the_same_order() -> None:
    (_, one, _), (_, other, _) = (parts(mixture(drawn(seed)[0], np.ones(2000))) for seed in (1, 2))
    assert np.abs(one - other).max() < 3


def test_nothing_at_all_is_still_a_mixture() -> None:
    model = mixture(np.full((4, 3), 128.0), np.zeros(4))
    assert np.isfinite(model).all()
    assert np.linalg.det(parts(model)[2]).min() > 0
