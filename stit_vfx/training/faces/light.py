"""Light as spherical harmonics of order 2, plus one key direction for highlights.

Irradiance follows Ramamoorthi and Hanrahan, "An Efficient Representation for Irradiance Environment Maps"
(2001), scaled so that a light of 1 that faces a white surface gives about 1. Axes: x right, y up, z to the
camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray
Rng = np.random.Generator

# Cosine lobe per band over pi: 1, 2/3, 1/4.
_LOBE = np.array([1.0] + [2.0 / 3.0] * 3 + [0.25] * 5)
_AMBIENT = 0.282095


@dataclass(frozen=True)
class Lighting:
    """`sh` (9, 3) linear RGB irradiance, `key` unit direction to the main light, `exposure` gain.

    `hard` 0..1: share of the main light, `key_colour` (3,), that comes from a point and so casts shadows.
    """

    sh: Array
    key: Array
    exposure: float
    key_colour: Array
    hard: float


def sh_basis(normals: Array) -> Array:
    """(..., 9) real spherical harmonics of unit directions (..., 3)."""
    x, y, z = normals[..., 0], normals[..., 1], normals[..., 2]
    return np.stack(
        [
            np.full_like(x, 0.282095),
            0.488603 * y,
            0.488603 * z,
            0.488603 * x,
            1.092548 * x * y,
            1.092548 * y * z,
            0.315392 * (3 * z * z - 1),
            1.092548 * x * z,
            0.546274 * (x * x - y * y),
        ],
        -1,
    )


def ambient(colour: Array) -> Array:
    """(9, 3) of the same light from everywhere."""
    sh = np.zeros((9, 3))
    sh[0] = colour / _AMBIENT
    return sh


def directional(direction: Array, colour: Array) -> Array:
    """(9, 3) of a distant light from a unit direction."""
    return np.pi * np.outer(sh_basis(direction) * _LOBE, colour)


def direction(azimuth: float, elevation: float) -> Array:
    """Unit vector; azimuth 0 is the camera's side, positive to the image's right."""
    flat = np.cos(elevation)
    return np.array([np.sin(azimuth) * flat, np.sin(elevation), np.cos(azimuth) * flat])


def draw_lighting(rng: Rng) -> Lighting:
    """Ambient and a key, often a fill, sometimes a rim light."""
    sh = ambient(rng.uniform(0.18, 0.60) * np.exp(rng.standard_normal(3) * 0.05))
    azimuth = rng.uniform(-1.3, 1.3)
    key = direction(azimuth, rng.uniform(-0.1, 1.1))
    key_colour = _colour(rng, 0.25, 0.85, 0.06)
    sh = sh + directional(key, key_colour)
    fill, has_fill = direction(-azimuth + rng.normal(0, 0.5), rng.uniform(-0.4, 0.8)), rng.random() < 0.7
    sh = sh + has_fill * directional(fill, _colour(rng, 0.04, 0.30, 0.08))
    rim, has_rim = direction(np.pi + rng.normal(0, 0.9), 0.4), rng.random() < 0.25
    sh = sh + has_rim * directional(rim, _colour(rng, 0.15, 0.6, 0.08))
    exposure = float(np.exp(rng.normal(0, 0.18)))
    is_hard, hard = rng.random() < 0.4, float(rng.uniform(0.25, 1.0))
    return Lighting(sh=sh, key=key, exposure=exposure, key_colour=key_colour, hard=hard * is_hard)


def _colour(rng: Rng, low: float, high: float, spread: float) -> Array:
    warmth = rng.normal(0, spread)
    return rng.uniform(low, high) * np.exp(
        warmth * np.array([1, 0, -1]) + rng.standard_normal(3) * spread * 0.4
    )
