"""A painted mouth: what an edit shows between the lips where neither the plate nor a generator has anything.

Linear light: reflectance times the light that the caller has found on the actor's skin and eyes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stit_vfx.shape.model import MOUTH, TEETH, ShapeModel
from stit_vfx.shape.ramp import smoothstep
from stit_vfx.shape.raster import Raster

Array = np.ndarray

_ENAMEL, _GUM, _DARK = (
    np.array([0.66, 0.58, 0.47]),
    np.array([0.34, 0.13, 0.12]),
    np.array([0.048, 0.0135, 0.0115]),
)
_TONGUE = np.array([0.230, 0.080, 0.074])
_BLUSH = np.array([1.13, 0.95, 0.84])  # light in a mouth has been on red skin before
# Right edges of the teeth along the arch from the middle, centimetres.
_UPPER_EDGES = np.cumsum([0.0, 0.84, 0.66, 0.74, 0.66, 0.64, 0.95])
_LOWER_EDGES = np.cumsum([0.0, 0.52, 0.56, 0.64, 0.66, 0.66, 1.0])
_UPPER_CM, _LOWER_CM = 0.92, 0.78  # height of a crown
# How much higher than the middle ones the upper teeth end, from the middle on, and their corners' roundness.
_UPPER_ENDS = np.array([0.0, 0.07, 0.03, 0.09, 0.14, 0.20])
_ARCH_CM = 2.4  # of the jaws, in front of which a camera in profile looks in
_CORNER_CM, _CORNER_WIDE_CM, _KEEN_CM = 0.06, 0.07, 0.02


def paint(model: ShapeModel, raster: Raster, part: Array, *, light: Array, aside: float = 0.0) -> Array:
    """(n, 3) linear colour at the raster's pixels; 0 where they do not belong to the mouth's inside.

    part (n,): what to paint there, TEETH or MOUTH; light (3,): what a white surface has; aside (-1..1): sine
    of the angle from which a camera looks in, for it sees what the opening is before.
    """
    mouth = np.flatnonzero((part == TEETH) | (part == MOUTH))
    out = np.zeros((len(part), 3), np.float32)
    if len(mouth):
        inside = replace(raster, pixels=mouth, corners=raster.corners[mouth], weights=raster.weights[mouth])
        out[mouth] = _paint(model, inside.read(model.neutral), part[mouth], aside) * light
    return out


def _paint(model: ShapeModel, place: Array, part: Array, aside: float) -> Array:
    """(n, 3) reflectance times how far the mouth lets light in: less towards its corners and its back."""
    lips = model.landmark_modes[0, [62, 66]].mean(0)
    x, depth = place[:, 0] - lips[0], lips[2] - place[:, 2]
    before = _ARCH_CM * aside
    height, behind = place[:, 1] - (lips[1] - 0.22), _behind(x - before, lips[1] - place[:, 1])
    ends = 1 / (1 + np.exp(-(height - _ends(x)) / _KEEN_CM))[:, None]
    upper = ends * _teeth(x, height, _UPPER_EDGES, _UPPER_CM) * _BLUSH + (1 - ends) * _DARK
    lower = _teeth(x, (lips[1] - 0.12) - place[:, 1], _LOWER_EDGES, _LOWER_CM) * _BLUSH
    is_upper = place[:, 2] + 0.42 * x**2 > lips[2] - 0.75 - 0.11
    teeth = np.where(is_upper[:, None], upper, 0.72 * lower)
    teeth = teeth * (1 - 0.85 * np.clip(np.abs(x - before) / 2.2, 0, 1) ** 1.5)[:, None]
    colour = np.where((part == TEETH)[:, None], teeth, behind)
    recess = np.clip(1.35 - 0.20 * depth, 0.12, 1.0)
    return (colour * recess[:, None]).astype(np.float32)


def _behind(x: Array, below: Array) -> Array:
    """(n, 3) reflectance of what lies behind the teeth: the dark, and a tongue's rounded back in it."""
    dark = np.clip(1 - 0.45 * np.abs(x) / 2.0, 0.3, 1)
    back = np.exp(-((x / 1.45) ** 2)) * np.clip((below + 0.30 - 0.30 * x**2) / 1.0, 0, 1)
    furrow = 1 - 0.12 * np.exp(-((x / 0.16) ** 2))
    share = (smoothstep(back) * furrow)[:, None]
    return _DARK * dark[:, None] * (1 - share) + _TONGUE * share


def _ends(x: Array) -> Array:
    """(n,) centimetres above the middle teeth's edge at which the upper teeth end."""
    side = np.abs(x) * np.sqrt(1 + (0.42 * x) ** 2)
    tooth = np.clip(np.searchsorted(_UPPER_EDGES, side, side="right") - 1, 0, len(_UPPER_ENDS) - 1)
    gap = np.min(np.abs(side[:, None] - _UPPER_EDGES[None]), 1)
    round_ = np.exp(-((gap / _CORNER_WIDE_CM) ** 2))
    return np.asarray(_UPPER_ENDS[tooth] + _CORNER_CM * round_)


def _teeth(x: Array, height: Array, edges: Array, crown_cm: float) -> Array:
    """(n, 3) reflectance; height above the cutting edge in centimetres, growing towards the gum."""
    side = np.abs(x) * np.sqrt(1 + (0.42 * x) ** 2)  # along the arch
    tooth = np.clip(np.searchsorted(edges, side, side="right") - 1, 0, len(edges) - 2)
    left, right = edges[tooth], edges[tooth + 1]
    across = np.clip((side - left) / (right - left), 0, 1)
    gap = np.minimum(across, 1 - across) * (right - left)
    bright = 1 - 0.35 * np.exp(-((gap / 0.035) ** 2)) - 0.10 * np.exp(-((gap / 0.10) ** 2))
    bright = bright * (0.94 + 0.06 * np.cos((across - 0.5) * np.pi))
    bright = bright * (1 - 0.10 * np.exp(-np.maximum(height, 0) / 0.10))  # the edge lets light through
    scallop = crown_cm - 0.10 * (2 * across - 1) ** 2 * (right - left) / 0.8
    gum = 1 / (1 + np.exp(-(height - scallop) / 0.025))
    enamel = _ENAMEL * bright[:, None] * np.array([1.0, 0.985, 0.95]) ** np.minimum(tooth, 3)[:, None]
    return enamel * (1 - gum[:, None]) + _GUM * gum[:, None]
