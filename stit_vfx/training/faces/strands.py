"""A tileable texture of hair strands, and the smooth random fields that skin is painted with."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

Array = np.ndarray
_PAD = 64


@cache
def strand_texture(size: int = 1024) -> Array:
    """(size, size) uniform on 0..1, long along y: fine strands on wider locks."""
    rng = np.random.default_rng(3)
    fine = _smear(rng.random((size, size), np.float32), 0.7, 22)
    locks = _smear(rng.random((size, size), np.float32), 6, 40)
    return np.ascontiguousarray(0.65 * _ranks(fine) + 0.35 * _ranks(locks), np.float32)


def cloud(rng: np.random.Generator, size: int, frequency: float) -> Array:
    """(size, size) tileable noise of mean 0 and deviation 1, with about `frequency` blobs across."""
    field = _smear(rng.standard_normal((size, size)).astype(np.float32), size / frequency / 2, None)
    return (field - field.mean()) / field.std()


def clouds(rng: np.random.Generator, size: int, frequencies: tuple[float, ...]) -> Array:
    """Several octaves, deviation about 1."""
    return (
        sum((cloud(rng, size, f) for f in frequencies), np.zeros((size, size), np.float32))
        / len(frequencies) ** 0.5
    )


def _smear(field: Array, sigma_x: float, sigma_y: float | None) -> Array:
    padded = np.pad(field, _PAD, mode="wrap")
    blurred = cv2.GaussianBlur(padded, (0, 0), sigmaX=sigma_x, sigmaY=sigma_y or sigma_x)
    return blurred[_PAD:-_PAD, _PAD:-_PAD]


def _ranks(field: Array) -> Array:
    return np.argsort(np.argsort(field.ravel())).reshape(field.shape).astype(np.float32) / field.size
