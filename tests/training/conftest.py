"""A head of the source's kind, made of formulas: an ellipsoid with eyes and teeth, seeded modes."""

from __future__ import annotations

import numpy as np
import pytest

from stit_vfx.shape.model import ShapeModel
from stit_vfx.training.source import PARTS, FaceSource

ROWS, COLUMNS = 48, 64


def ellipsoid(centre, radii, rows, columns):
    """Vertices (V, 3), and triangles counter-clockwise from outside."""
    down = np.linspace(0.02, np.pi - 0.02, rows)
    around = np.linspace(-np.pi, np.pi, columns)
    polar, azimuth = np.meshgrid(down, around, indexing="ij")
    unit = np.stack(
        [np.sin(polar) * np.sin(azimuth), np.cos(polar), np.sin(polar) * np.cos(azimuth)], -1
    ).reshape(-1, 3)
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    triangles = np.concatenate(
        [np.stack([a, d, c], -1).reshape(-1, 3), np.stack([a, c, b], -1).reshape(-1, 3)]
    )
    return unit * radii + centre, triangles


def landmark_places():
    """(68, 2) x and y in centimetres, iBUG order."""
    jaw = [(7 * np.sin(t), 2 - 9 * np.cos(t)) for t in np.linspace(-1.5, 1.5, 17)]
    right_brow = [(x, 5.5) for x in np.linspace(-5, -1.2, 5)]
    left_brow = [(x, 5.5) for x in np.linspace(1.2, 5, 5)]
    nose = [(0, y) for y in (3.5, 2.5, 1.5, 0.5)] + [(x, -0.4) for x in np.linspace(-1.2, 1.2, 5)]
    eyes = [
        (side * 3.2 + 1.3 * np.cos(t), 3.6 + 0.5 * np.sin(t)) for side in (-1, 1) for t in np.arange(6) * 1.05
    ]
    outer = [(2.5 * np.cos(t), -3.1 + 0.9 * np.sin(t)) for t in np.pi - np.arange(12) * np.pi / 6]
    inner = [(2.0 * np.cos(t), -3.1 + 0.3 * np.sin(t)) for t in np.pi - np.arange(8) * np.pi / 4]
    return np.array(jaw + right_brow + left_brow + nose + eyes + outer + inner)


@pytest.fixture(scope="session")
def shipped_shape(request):
    """Path of the shape network in the built-in pack."""
    return request.config.rootpath / "stit_vfx" / "packs" / "builtin" / "shape.safetensors"


@pytest.fixture(scope="session")
def tiny_source(shipped_shape):
    rng = np.random.default_rng(0)
    pieces = [
        ("skin", *ellipsoid((0, 0, 0), (7.8, 11.5, 9.5), ROWS, COLUMNS)),
        ("teeth", *ellipsoid((0, -3, 7.5), (2, 1, 1), 8, 12)),
        ("eye", *ellipsoid((-3.2, 3.6, 7.2), (1.3, 1.3, 1.3), 8, 12)),
        ("eye", *ellipsoid((3.2, 3.6, 7.2), (1.3, 1.3, 1.3), 8, 12)),
    ]
    starts = np.cumsum([0] + [len(points) for _, points, _ in pieces[:-1]])
    neutral = np.concatenate([points for _, points, _ in pieces]).astype(np.float32)
    names = ShapeModel.load(shipped_shape).expressions
    waves = np.sin(neutral @ rng.normal(0, 0.25, (3, 40 + len(names))))
    modes = (waves.T[:, :, None] * rng.normal(0, 0.15, (40 + len(names), 1, 3))).astype(np.float32)
    front = np.where(neutral[: ROWS * COLUMNS, 2] > 0, 0, 1e3)
    near = np.linalg.norm(neutral[None, : ROWS * COLUMNS, :2] - landmark_places()[:, None], axis=2) + front
    return FaceSource(
        neutral=neutral,
        identity=modes[:40],
        expression=modes[40:],
        names=names,
        triangles=np.concatenate([t + s for (_, _, t), s in zip(pieces, starts, strict=True)]).astype(
            np.int32
        ),
        parts=np.concatenate([np.full(len(p), PARTS.index(name), np.int8) for name, p, _ in pieces]),
        landmarks=near.argmin(1),
        face_end=ROWS * COLUMNS,
    )
