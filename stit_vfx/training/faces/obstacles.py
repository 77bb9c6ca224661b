"""Hats, hands and things that people hold before their face."""

from __future__ import annotations

import numpy as np

from stit_vfx.training.faces.hair import curtain_grid, outward
from stit_vfx.training.faces.head import HAND, HAT, THING
from stit_vfx.training.faces.light import Array
from stit_vfx.training.faces.props import plain, tube
from stit_vfx.training.faces.raster import Surface, join
from stit_vfx.training.faces.sample import Obstacles

Rng = np.random.Generator

_BALL_ROWS, _BALL_COLUMNS = 13, 20


def obstacles(what: Obstacles, points: Array, chin: Array) -> list[Surface]:
    """All that hides a part of a head, `points` (V, 3) as moved, `chin` (3,)."""
    found = [] if not what.hat else [hat(what, points)]
    if what.hand:
        found.append(hand(np.random.default_rng(what.hand), chin))
    if what.thing:
        found.append(thing(np.random.default_rng(what.thing), chin))
    return found


def hat(what: Obstacles, points: Array) -> Surface:
    """A dome over the skull down to the brow's height, and a peak or a brim."""
    skull = points[points[:, 1] > 4]
    half_width, top = np.abs(skull[:, 0]).max() + 0.9, skull[:, 1].max() + 0.9
    front, back = skull[:, 2].max() + 0.9, skull[:, 2].min() - 0.9
    rim = 8.6 + what.hat_low
    around, down, triangles = curtain_grid()
    across = np.sin(np.clip(down / 0.55, 0, 1) * np.pi / 2) ** 0.7
    height = rim + (top - rim) * np.cos(np.clip(down / 0.55, 0, 1) * np.pi / 2) ** 0.8
    reach, drop = _brim(what.hat, around, np.clip((down - 0.55) / 0.45, 0, 1))
    depth = np.where(np.cos(around) > 0, front, -back) + reach
    x = np.sin(around) * across * (half_width + reach)
    z = np.cos(around) * across * depth
    tilt = 0.12 * (z - z.mean())
    sheet = np.stack([x, height - drop + tilt, z], -1).reshape(-1, 3)
    return plain(sheet, outward(sheet, triangles), triangles, HAT)


def _brim(kind: str, around: Array, out: Array) -> tuple[Array, Array]:
    """How far the lower part of a hat reaches out and how far it drops, in centimetres."""
    if kind == "beanie":
        return 0.5 * out, 1.6 * out
    if kind == "cap":
        peak = np.clip(np.cos(around) * 1.6 - 0.4, 0, 1) ** 0.7
        return 7.5 * out * peak + 0.1 * out, 1.3 * out * peak + 0.3 * out
    return 7.0 * out, 0.8 * out + 0.6 * out * np.cos(around) ** 2


def hand(rng: Rng, chin: Array) -> Surface:
    """Palm, four fingers and a thumb, at the chin, a cheek or before the mouth, on a forearm from below."""
    side = rng.choice([-1.0, 1.0])
    wrist = chin + np.array([side * rng.uniform(1, 8), rng.uniform(-6.5, 1.5), rng.uniform(2.0, 4.5)])
    up = np.array([-side * rng.uniform(-0.2, 0.9), rng.uniform(0.5, 1.0), rng.uniform(-0.15, 0.1)])
    up /= np.linalg.norm(up)
    wide = np.cross(up, [0.0, 0.0, 1.0])
    wide /= np.linalg.norm(wide)
    palm = wrist + 4.2 * up
    parts = [ball(palm, np.stack([wide * 3.9, up * 4.9, np.cross(wide, up) * 1.5]))]
    bend, spread = rng.uniform(-0.9, 0.5), rng.uniform(0.02, 0.16)
    for k, length in enumerate((6.0, 7.2, 7.6, 6.8)):
        root = palm + 3.6 * up + wide * (k - 1.5) * 1.85
        parts.append(_finger(root, up + wide * (k - 1.5) * spread, length, bend, 0.92))
    thumb = palm - side * wide * 3.2 - 1.5 * up
    parts.append(_finger(thumb, 0.7 * up - side * wide * 0.8, 5.6, 0.3 * bend, 1.05))
    elbow = wrist + np.array([side * rng.uniform(2, 9), -26.0, 3.0])
    parts.append(tube(np.linspace(wrist + 0.5 * up, elbow, 8), 3.0, HAND, steps=14))
    return join(parts)


def _finger(root: Array, along: Array, length: float, bend: float, radius: float) -> Surface:
    along = along / np.linalg.norm(along)
    turn = np.linspace(0, bend, 9)[:, None]
    step = along * np.cos(turn) + np.array([0, 0, -1.0]) * np.sin(turn)
    line = root + np.cumsum(step, 0) * length / 9
    return join([tube(line, radius, HAND, steps=10), ball(line[-1], np.eye(3) * radius)])


def ball(centre: Array, axes: Array, part: int = HAND) -> Surface:
    """An ellipsoid; rows of `axes` (3, 3) are its half axes."""
    polar, around = np.meshgrid(
        np.linspace(0, np.pi, _BALL_ROWS), np.linspace(0, 2 * np.pi, _BALL_COLUMNS), indexing="ij"
    )
    unit = np.stack([np.sin(polar) * np.cos(around), np.cos(polar), np.sin(polar) * np.sin(around)], -1)
    unit = unit.reshape(-1, 3)
    index = np.arange(_BALL_ROWS * _BALL_COLUMNS).reshape(_BALL_ROWS, _BALL_COLUMNS)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    triangles = np.stack([a, b, d, a, d, c], -1).reshape(-1, 3).astype(np.int32)
    normals = unit @ np.linalg.inv(axes).T
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return plain(centre + unit @ axes, normals, triangles, part)


def thing(rng: Rng, chin: Array) -> Surface:
    """A microphone or a cup: a ball or a drum on a stem, a little before the chin."""
    place = chin + np.array([rng.uniform(-5, 5), rng.uniform(-3.5, 2.5), rng.uniform(3.5, 7)])
    size, tall = rng.uniform(1.6, 3.2), rng.uniform(0.8, 1.6)
    stem = np.linspace(place, place + np.array([rng.uniform(-4, 4), -22, rng.uniform(0, 4)]), 8)
    head = ball(place, np.diag([size, size * tall, size]), THING)
    return join([head, tube(stem, size * rng.uniform(0.35, 0.9), THING, steps=12)])
