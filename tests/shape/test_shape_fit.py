from __future__ import annotations

import numpy as np
import pytest

from stit_vfx.shape.code import ShapeCode, rotation_matrix, rotation_vector
from stit_vfx.shape.fit import fit_shot, local_quadratic
from stit_vfx.shape.model import ShapeModel

FRAMES = 40


def shot(model: ShapeModel) -> list[ShapeCode]:
    """A talking, turning head that the camera follows: face about 400 px high."""
    identity = np.random.default_rng(5).standard_normal(40) * 0.7
    codes = []
    for t in range(FRAMES):
        expression = np.zeros(len(model.expressions))
        for name in ("mouthSmile_L", "mouthSmile_R"):
            expression[model.index(name)] = 0.4 + 0.3 * np.sin(t / 9)
        expression[model.index("jawOpen")] = 0.2 + 0.2 * np.sin(t / 3)
        turn = rotation_matrix(np.array([0.05 * np.sin(t / 6), 0.3 * np.sin(t / 11), 0.06]))
        codes.append(ShapeCode(identity, expression, turn, 20 + 0.05 * t, np.array([300 + 3.0 * t, 250.0])))
    return codes


def seen(model: ShapeModel, codes: list[ShapeCode]) -> np.ndarray:
    return np.stack([c.project(model.marks(c))[:, :2] for c in codes])


@pytest.fixture(scope="module")
def truth(model: ShapeModel) -> np.ndarray:
    return seen(model, shot(model))


def test_clean_landmarks_are_met_within_a_third_of_a_pixel(model: ShapeModel, truth: np.ndarray) -> None:
    got = seen(model, fit_shot(model, truth))
    assert np.linalg.norm(got - truth, axis=2)[:, 17:].mean() < 0.33


def test_noise_is_smoothed_away_and_motion_is_kept(model: ShapeModel, truth: np.ndarray) -> None:
    noisy = truth + np.random.default_rng(0).normal(0, 1.5, truth.shape)
    codes = fit_shot(model, noisy)
    got = seen(model, codes)
    assert np.linalg.norm(got - truth, axis=2)[:, 17:].mean() < 1.0  # the noise itself is 1.9 px long
    jitter = np.abs(np.diff(got - truth, 2, axis=0)).mean()
    assert jitter < 0.1 * np.abs(np.diff(noisy - truth, 2, axis=0)).mean()
    turns = [rotation_vector(c.rotation @ t.rotation.T) for c, t in zip(codes, shot(model), strict=True)]
    assert np.degrees(np.linalg.norm(turns, axis=1)).mean() < 1.5
    jaw = model.index("jawOpen")
    opening = np.array(
        [[c.expression[jaw], t.expression[jaw]] for c, t in zip(codes, shot(model), strict=True)]
    )
    assert np.corrcoef(opening.T)[0, 1] > 0.95


def test_one_identity_for_the_whole_shot(model: ShapeModel, truth: np.ndarray) -> None:
    codes = fit_shot(model, truth)
    assert all(np.array_equal(c.identity, codes[0].identity) for c in codes)
    assert np.corrcoef(codes[0].identity, shot(model)[0].identity)[0, 1] > 0.6


def test_frames_without_a_face_are_bridged(model: ShapeModel, truth: np.ndarray) -> None:
    broken, weights = truth.copy(), np.ones(FRAMES)
    broken[20:23] += 40.0
    weights[20:23] = 0.0
    got = seen(model, fit_shot(model, broken, weights))
    assert np.linalg.norm(got - truth, axis=2)[20:23, 17:].mean() < 3.0


def test_nothing_is_smoothed_across_a_cut(model: ShapeModel, truth: np.ndarray) -> None:
    jumped = truth.copy()
    jumped[20:] += [500.0, 0.0]
    got = seen(model, fit_shot(model, jumped, cuts=[20]))
    assert np.linalg.norm(got - jumped, axis=2)[18:22, 17:].mean() < 0.7


def test_one_frame_is_enough(model: ShapeModel, truth: np.ndarray) -> None:
    codes = fit_shot(model, truth[:1])
    assert len(codes) == 1
    assert np.linalg.norm(seen(model, codes) - truth[:1], axis=2)[:, 17:].mean() < 0.3


def test_the_smoother_passes_parabolas_and_halves_noise() -> None:
    t = np.arange(50.0)
    parabola = np.stack([0.3 * t**2 - 2 * t + 5, 7 - t], 1)
    assert np.allclose(local_quadratic(parabola, np.ones(50), 2.0), parabola, atol=1e-2)
    noise = np.random.default_rng(0).standard_normal((2000, 1))
    assert local_quadratic(noise, np.ones(2000), 1.8).std() < 0.65
