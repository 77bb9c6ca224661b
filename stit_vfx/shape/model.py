"""The face as a linear model in our own topology: the shape network evaluated once on our grid.

Beside the skin there are eyes and a mouth's inside, built here by rule: eyeballs that the lids slide over,
two arches of teeth, the lower one moving with the jaw, and a dark sheet behind them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from scipy import sparse

from stit_vfx.shape import chart
from stit_vfx.shape.age import age_displacement
from stit_vfx.shape.code import ShapeCode
from stit_vfx.shape.form import FORMS, eyeball_displacement, form_displacement
from stit_vfx.shape.lid_columns import curves_deg
from stit_vfx.shape.network import IDENTITY, evaluate, load_network

Array = np.ndarray

SKIN, MOUTH, TEETH, EYE = 0, 1, 2, 3
_EYEBALL_CM = 1.48
_EYE_RECESS_CM = 0.10  # the ball stays behind closed lids
_PULL_DEG = 6.0  # how far a landmark's detail reaches
_RIGHT, _LEFT, _LIPS = np.arange(36, 42), np.arange(42, 48), np.arange(60, 68)
_ARCH = 0.42  # teeth: depth = front - _ARCH * x^2, centimetres


@dataclass(frozen=True)
class Piece:
    """Part of the model: modes (M, V, 3), triangles (T, 3) counter-clockwise from outside, part number."""

    modes: Array
    triangles: Array
    part: int


@dataclass(frozen=True)
class ShapeModel:
    """Linear face: `modes` (1 + K + E, V, 3) float32 centimetres: neutral, identity, expression.

    `age` (V, 3) displacement at age 1; `forms` (F, V, 3) of `form.FORMS` at amount 1. `triangles` (T, 3),
    `parts` (V,). `chart_deg` (S, 2) chart points of the skin, which is the first S vertices.
    `landmark_modes` (1 + K + E, 68, 3), `landmark_age` (68, 3) and `landmark_forms` (F, 68, 3): the landmarks
    under the same codes; `landmark_chart_deg` (68, 2).
    """

    modes: Array
    age: Array
    triangles: Array
    parts: Array
    chart_deg: Array
    landmark_modes: Array
    landmark_age: Array
    landmark_chart_deg: Array
    expressions: tuple[str, ...]
    forms: Array
    landmark_forms: Array

    @property
    def skin_count(self) -> int:
        return len(self.chart_deg)

    @property
    def lid_curves(self) -> slice:
        """The skin's last vertices, in no triangle: the curves of `lid_columns.curves_deg`."""
        return slice(self.skin_count - len(curves_deg()), self.skin_count)

    @property
    def neutral(self) -> Array:
        """(V, 3) the average face without expression."""
        return self.modes[0]

    def index(self, expression: str) -> int:
        """Row of an expression among the codes."""
        return self.expressions.index(expression)

    def vertices(self, identity: Array, expression: Array, age: float = 0.0) -> Array:
        """(V, 3) float32 centimetres."""
        return _combine(self.modes, self.age, identity, expression, age)

    def landmarks(self, identity: Array, expression: Array, age: float = 0.0) -> Array:
        """(68, 3) float32 centimetres."""
        return _combine(self.landmark_modes, self.landmark_age, identity, expression, age)

    def surface(self, code: ShapeCode) -> Array:
        """(V, 3) float32 centimetres: the vertices of a code, its detail included."""
        plain = _formed(self.vertices(code.identity, code.expression, code.age), self.forms, code.form)
        return plain if code.detail is None else plain + self._pull @ code.detail.astype(np.float32)

    def marks(self, code: ShapeCode) -> Array:
        """(68, 3) float32 centimetres: the landmarks of a code, its detail included."""
        bare = self.landmarks(code.identity, code.expression, code.age)
        plain = _formed(bare, self.landmark_forms, code.form)
        return plain if code.detail is None else plain + code.detail.astype(np.float32)

    @cached_property
    def _pull(self) -> Array:
        """(V, 68) how landmarks drag the skin with them: Gaussian kernels on the chart; eyes and teeth go
        along.
        """
        marks = self.landmark_chart_deg
        inverse = np.linalg.inv(_kernel(marks, marks) + 0.02 * np.eye(68))
        out = np.zeros((self.modes.shape[1], 68), np.float32)
        out[: self.skin_count] = _kernel(self.chart_deg, marks) @ inverse
        side = self.neutral[:, 0] > 0
        for part, inside, group in ((EYE, ~side, _RIGHT), (EYE, side, _LEFT), (TEETH, side | True, _LIPS)):
            out[np.ix_((self.parts == part) & inside, group)] = 1 / len(group)
        return out

    def normals(self, vertices: Array) -> Array:
        """(V, 3) unit normals, pointing out."""
        corner = vertices[self.triangles]
        faces = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
        out = self._gather @ faces
        return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)

    @cached_property
    def _gather(self) -> sparse.csr_matrix:
        """(V, T): sums over the triangles around a vertex."""
        rows = self.triangles.ravel()
        columns = np.repeat(np.arange(len(self.triangles)), 3)
        shape = (self.modes.shape[1], len(self.triangles))
        return sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape)

    @classmethod
    def load(cls, path: Path) -> ShapeModel:
        """From the weights of a shape network. About half a second; cached per file."""
        return _load(Path(path))


def _kernel(a: Array, b: Array) -> Array:
    return np.exp(-0.5 * ((a[:, None] - b[None]) ** 2).sum(-1) / _PULL_DEG**2)


def _combine(modes: Array, age_mode: Array, identity: Array, expression: Array, age: float) -> Array:
    codes = np.concatenate([[1.0], identity, np.zeros(IDENTITY - len(identity)), expression]).astype(
        np.float32
    )
    used = np.flatnonzero(codes)
    out = np.tensordot(codes[used], modes[used], 1)
    return out + np.float32(age) * age_mode if age else out


def _formed(points: Array, forms: Array, amounts: Array | None) -> Array:
    """Points (V, 3) with forms (F, V, 3) added by amounts (F,)."""
    if amounts is None or not np.any(amounts):
        return points
    return points + np.tensordot(amounts.astype(np.float32), forms, 1)


def _forms(neutral: Array, skin_count: int, parts: Array) -> Array:
    """(F, V, 3): skin by `form_displacement`, eyeballs with their lids; teeth stay."""
    out = np.zeros((len(FORMS), *neutral.shape), np.float32)
    eye = parts == EYE
    for name, row in zip(FORMS, out, strict=True):
        row[:skin_count] = form_displacement(name, neutral[:skin_count])
        row[eye] = eyeball_displacement(name, neutral[eye])
    return out


@lru_cache(maxsize=2)
def _load(path: Path) -> ShapeModel:
    network = load_network(path)
    grid, marks, lids = chart.grid(), network.landmarks.numpy(), curves_deg()
    points = np.concatenate([grid.points, lids])
    both = evaluate(network, np.concatenate([points, marks]))
    skin, landmarks = both[:, : len(points)], both[:, len(points) :]
    pieces = [
        Piece(skin, grid.triangles, SKIN),
        *_mouth(landmarks, network.expressions),
        *(_eyeball(skin[:, grid.rims[name]]) for name in (chart.RIGHT_EYE, chart.LEFT_EYE)),
    ]
    modes, triangles, parts = _join(pieces)
    age = np.zeros_like(modes[0])
    age[: len(points)] = age_displacement(skin[0])
    return ShapeModel(
        modes,
        age,
        triangles,
        parts,
        points,
        np.ascontiguousarray(landmarks),
        age_displacement(landmarks[0]),
        marks.astype(np.float64),
        network.expressions,
        _forms(modes[0], len(points), parts),
        np.stack([form_displacement(name, landmarks[0]) for name in FORMS]).astype(np.float32),
    )


def _join(pieces: list[Piece]) -> tuple[Array, Array, Array]:
    starts = np.cumsum([0] + [p.modes.shape[1] for p in pieces[:-1]])
    triangles = [p.triangles + start for p, start in zip(pieces, starts, strict=True)]
    parts = [np.full(p.modes.shape[1], p.part, np.int8) for p in pieces]
    modes = np.concatenate([p.modes for p in pieces], 1).astype(np.float32)
    return modes, np.concatenate(triangles).astype(np.int32), np.concatenate(parts)


def _sheet(rows: int, columns: int) -> Array:
    """(T, 3) of a grid whose rows run down and columns to the image's right, facing the camera."""
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    return np.concatenate([np.stack([a, d, c], -1).reshape(-1, 3), np.stack([a, c, b], -1).reshape(-1, 3)])


def _eyeball(rim: Array) -> Piece:
    """Front half of a ball fitted to the average lids' rim (M, R, 3).

    It follows identity but no expression.
    """
    centre = _ball_centre(rim[0].astype(np.float64), _EYEBALL_CM)
    tilt, turn = np.meshgrid(
        np.radians(np.linspace(80, -80, 17)), np.radians(np.linspace(-80, 80, 17)), indexing="ij"
    )
    cap = np.stack([np.sin(turn) * np.cos(tilt), np.sin(tilt), np.cos(turn) * np.cos(tilt)], -1).reshape(
        -1, 3
    )
    modes = np.zeros((len(rim), len(cap), 3), np.float32)
    modes[0] = centre + (_EYEBALL_CM - _EYE_RECESS_CM) * cap
    modes[1 : 1 + IDENTITY] = rim[1 : 1 + IDENTITY].mean(1, keepdims=True)
    return Piece(modes, _sheet(17, 17), EYE)


def _ball_centre(points: Array, radius: float) -> Array:
    """(3,) centre of a ball of that radius behind the points, least squares (Gauss-Newton)."""
    centre = points.mean(0) - [0, 0, radius * 0.8]
    for _ in range(8):
        ray = points - centre
        length = np.linalg.norm(ray, axis=1)
        step = np.linalg.lstsq(ray / length[:, None], length - radius, rcond=None)[0]
        centre = centre + step
    return centre


def _mouth(landmarks: Array, expressions: tuple[str, ...]) -> list[Piece]:
    """Upper teeth, lower teeth and the dark behind, placed by the average inner lips."""
    upper_lip, lower_lip = landmarks[0, 62], landmarks[0, 66]
    x, _, z = (upper_lip + lower_lip) / 2
    y = upper_lip[1] - 0.1  # where the lips meet
    still, jaw = _follow(landmarks, expressions)
    across = np.linspace(-2.9, 2.9, 25)
    front = z - 0.75 - _ARCH * across**2
    upper = _arch(x + across, np.linspace(y + 1.25, y - 0.12, 7), front)
    lower = _arch(x + across, np.linspace(y - 0.02, y - 1.1, 7), front - 0.22)
    back = _arch(x + across, np.linspace(y + 1.6, y - 2.0, 9), front - 1.3)
    down = np.linspace(0, 1, 9).repeat(25)[None, :, None]
    return [
        _moving(upper, 7, still, TEETH),
        _moving(lower, 7, jaw, TEETH),
        _moving(back, 9, still * (1 - down) + jaw * down, MOUTH),
    ]


def _arch(x: Array, y: Array, z: Array) -> Array:
    return np.stack([np.tile(x, len(y)), np.repeat(y, len(x)), np.tile(z, len(y))], -1)


def _moving(points: Array, rows: int, follow: Array, part: int) -> Piece:
    modes = np.broadcast_to(follow, (len(follow), len(points), 3)).astype(np.float32)
    modes[0] = points
    return Piece(modes, _sheet(rows, len(points) // rows), part)


def _follow(landmarks: Array, expressions: tuple[str, ...]) -> tuple[Array, Array]:
    """Modes (M, 1, 3) of the skull's and of the jaw's teeth: lips for identity, chin for the jaw."""
    still = np.zeros_like(landmarks[:, :1])
    still[1 : 1 + IDENTITY] = landmarks[1 : 1 + IDENTITY, 48:].mean(1, keepdims=True)
    jaw = still.copy()
    for k, name in enumerate(expressions):
        if name.startswith("jaw"):
            jaw[1 + IDENTITY + k] = landmarks[1 + IDENTITY + k, 7:10].mean(0)
    return still, jaw
