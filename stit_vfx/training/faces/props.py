"""Shoulders, glasses and backdrops."""

from __future__ import annotations

import cv2
import numpy as np

from stit_vfx.training.faces.hair import curtain_grid, outward
from stit_vfx.training.faces.head import FRAME, TORSO, Head
from stit_vfx.training.faces.light import Array
from stit_vfx.training.faces.raster import Surface
from stit_vfx.training.faces.sample import Setting

_EYES_CM = (3.19, 3.45)  # centre of the left lens, on the neutral head
_RIM_STEPS = 40


def torso(setting: Setting, neck: Array) -> Surface:
    """Rings from the collar to the shoulders around the base of the neck (N, 3)."""
    around, down, triangles = curtain_grid()
    stops = [0, 0.15, 0.5, 1]
    wide = np.interp(down, stops, [6.3 + 0.5 * setting.collar, 8, 19, 21])
    deep = np.interp(down, stops, [6.2, 7.2, 9.5, 11])
    height = np.interp(down, stops, [-13.6 + setting.collar, -15.5, -19.5, -40])
    centre = neck.mean(0)
    x, z = centre[0] + np.sin(around) * wide, centre[2] + np.cos(around) * deep
    points = np.stack([x, height - 1.2 * np.cos(around) * (1 - down), z], -1).reshape(-1, 3)
    return plain(points, outward(points, triangles), triangles, TORSO)


def glasses(setting: Setting, head: Head, points: Array) -> list[Surface]:
    """Two rims, a bridge and temples before the eyes of a moved head; nothing where there are none."""
    if setting.glasses <= 0:
        return []
    left, right, thick = _rims(setting, head, points)
    inner = left[left[:, 0].argmin()], right[right[:, 0].argmax()]
    lines = [left, right, np.linspace(*inner, 8) + np.array([0, 0.15, 0.1])]
    for rim, side in ((left, 1), (right, -1)):
        hinge = rim[(rim[:, 0] * side).argmax()]
        lines.append(np.linspace(hinge, [side * 8.2, hinge[1] + 0.3, -1.0], 12))
    return [tube(line, thick, FRAME) for line in lines]


def _rims(setting: Setting, head: Head, points: Array) -> tuple[Array, Array, float]:
    """Both rims (n, 3) and how thick they are."""
    bridge = points[head.source.landmarks[27]]
    lift = bridge - head.landmarks[27]
    left = _rim(setting) + [*_EYES_CM, bridge[2] + 0.35] + lift * [1, 1, 0]
    return left, left * [-1, 1, 1] + 2 * lift * [1, 0, 0], 0.07 + 0.09 * setting.glasses


def _rim(setting: Setting) -> Array:
    """A closed superellipse, bent around the face."""
    half_width, half_height, power = setting.lens
    angle = np.linspace(0, 2 * np.pi, _RIM_STEPS)
    cosine, sine = np.cos(angle), np.sin(angle)
    x = half_width * np.sign(cosine) * np.abs(cosine) ** (2 / power)
    y = half_height * np.sign(sine) * np.abs(sine) ** (2 / power)
    return np.stack([x, y, -0.012 * (x + _EYES_CM[0]) ** 2], 1)


def lenses(setting: Setting, head: Head, points: Array) -> list[Array]:
    """The outlines (n, 3) of both lenses of a moved head; none without glasses."""
    if setting.glasses <= 0:
        return []
    left, right, _ = _rims(setting, head, points)
    return [left, right]


def tube(line: Array, radius: float, part: int, *, steps: int = 6) -> Surface:
    """A round tube along a line (n, 3); its section lies across the viewing direction of a front view."""
    along = np.gradient(line, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
    first = np.cross(along, [0.31, 0.17, 1.0])
    first /= np.linalg.norm(first, axis=1, keepdims=True) + 1e-9
    second = np.cross(along, first)
    angle = np.linspace(0, 2 * np.pi, steps, endpoint=False)[:, None, None]
    ring = radius * (np.cos(angle) * first + np.sin(angle) * second)
    points = (line + ring).transpose(1, 0, 2).reshape(-1, 3)
    i, k = np.meshgrid(np.arange(len(line) - 1), np.arange(steps), indexing="ij")
    a, b = i * steps + k, i * steps + (k + 1) % steps
    c, d = a + steps, b + steps
    triangles = np.stack([a, b, d, a, d, c], -1).reshape(-1, 3).astype(np.int32)
    return plain(points, ring.transpose(1, 0, 2).reshape(-1, 3) / radius, triangles, part)


def plain(points: Array, normals: Array, triangles: Array, part: int) -> Surface:
    """A surface without strands."""
    count = len(points)
    return Surface(
        points=points,
        normals=normals,
        canonical=np.full((count, 3), np.nan),
        sky=np.full(count, 0.75),
        threshold=np.full(count, -1.0),
        strand=np.zeros((count, 2)),
        triangles=triangles,
        parts=np.full(len(triangles), part, np.int8),
    )


def backdrop(seed: int, size: int) -> Array:
    """(size, size, 3) linear RGB: a gradient of a muted colour and shapes out of focus."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size - 0.5
    base = rng.uniform(0.02, 0.8) * np.exp(rng.standard_normal(3) * 0.09)
    slope = rng.normal(0, 0.6, 2)
    image = base * np.exp(slope[0] * x + slope[1] * y)[..., None]
    for _ in range(rng.integers(0, 9)):
        colour = base * np.exp(rng.normal(0, 0.7) + rng.standard_normal(3) * 0.18)
        corner, extent = rng.uniform(-0.2, 1.0, 2) * size, rng.uniform(0.05, 0.7, 2) * size
        image = _stamp(image, corner, corner + extent, np.clip(colour, 0, 1.2), round_=rng.random() < 0.4)
    image = image * np.exp(_pattern(rng, x, y))[..., None]
    blur = rng.uniform(0.002, 0.09) * size
    return np.clip(cv2.GaussianBlur(image, (0, 0), blur, borderType=cv2.BORDER_REPLICATE), 0, 1.2)


def _pattern(rng: np.random.Generator, x: Array, y: Array) -> Array:
    """Log of a wall's own pattern: stripes or tiles, often none."""
    drawn, turn, period = rng.random() < 0.4, rng.uniform(0, np.pi), rng.uniform(0.03, 0.3)
    along, across = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    stripes = np.sign(np.sin(2 * np.pi * along / period))
    tiles = stripes * np.sign(np.sin(2 * np.pi * across / period)) if rng.random() < 0.5 else stripes
    return drawn * rng.uniform(0.02, 0.5) * tiles


def _stamp(image: Array, low: Array, high: Array, colour: Array, *, round_: bool) -> Array:
    a, b = (tuple(int(v) for v in p) for p in (low, high))
    if round_:
        centre, axes = tuple(int(v) for v in (low + high) / 2), tuple(int(v) for v in (high - low) / 2)
        return cv2.ellipse(image, centre, axes, 0, 0, 360, colour.tolist(), -1)
    return cv2.rectangle(image, a, b, colour.tolist(), -1)
