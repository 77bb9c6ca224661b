"""Find a shot's face: one identity, and per frame a pose and an expression, from 68 landmarks.

Gauss-Newton on the scaled-orthographic model with analytic derivatives, all frames at once. Identity comes
from frames spread over the shot, solved jointly (Schur complement); then every frame is solved for itself,
and pose and expression are smoothed over time by a local quadratic, which takes out jitter and leaves
acceleration in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from stit_vfx.shape.code import ShapeCode, rotation_matrix, rotation_vector
from stit_vfx.shape.model import ShapeModel
from stit_vfx.shape.network import IDENTITY

Array = np.ndarray

_NOISE_CM = 0.12  # of a landmark; dlib on a face 400 px high is about this good
_OUTLIER_CM = 0.5
_JAW = 17  # the first landmarks slide along the outline: only their distance to it counts
_SLIDE = 0.04
_JAW_WEIGHT = 0.35
_KEY_FRAMES = 16
_INDEPENDENT_FRAMES = 4.0  # landmarks of one shot share their errors: more frames than this add nothing
_LOW, _HIGH = -0.15, 1.1
_CHUNK = 128
_LARGEST_DETAIL_CM = 0.35  # more is a wrong landmark
_WINDOW_SIGMA_DETAIL = 5.0
_WINDOW_SIGMA_POSE, _WINDOW_SIGMA_EXPRESSION, _WINDOW_SIGMA_BLINK = 1.8, 2.4, 1.2

# How far a control strays from rest, one standard deviation; what landmarks cannot see stays at rest.
_SPREAD = {
    "eyeLook": 0.02,
    "cheek": 0.08,
    "jawForward": 0.05,
    "mouthRoll": 0.15,
    "mouthShrug": 0.15,
    "mouthClose": 0.05,
    "noseSneer": 0.12,
    "mouthDimple": 0.12,
    "eyeSquint": 0.2,
    "eyeBlink": 0.5,
    "jawOpen": 0.4,
    "mouthSmile": 0.4,
}
_SPREAD_OTHER = 0.25
_SIDES_APART = 0.15  # left and right controls differ by about this much


@dataclass(frozen=True)
class _Frames:
    """Unknowns of T frames: identity (K,) shared; expression (T, E), rotation (T, 3, 3), scale (T,), shift
    (T, 2).
    """

    identity: Array
    expression: Array
    rotation: Array
    scale: Array
    shift: Array


@dataclass(frozen=True)
class _Prior:
    """Quadratic prior of the expression: precision (E, E)."""

    precision: Array


def fit_shot(
    model: ShapeModel, landmarks: Array, weights: Array | None = None, *, cuts: Sequence[int] = ()
) -> list[ShapeCode]:
    """One code per frame of a shot. landmarks (T, 68, 2) plate px; weights (T,), 0 where they were
    interpolated.

    `cuts`: indices of frames that start a new take: nothing is smoothed across. Identity is one for the shot.
    """
    points = np.asarray(landmarks, np.float64)
    trust = np.ones(len(points)) if weights is None else np.asarray(weights, np.float64)
    prior = _prior(model)
    keys = _key_frames(trust)
    start = _start(model, points[keys], np.zeros(IDENTITY))
    known = _solve(model, points[keys], start, prior, identity=True)
    frames = _start(model, points, known.identity)
    frames = _solve_in_chunks(model, points, frames, prior)
    trust = np.maximum(trust, 1e-3)
    codes = _codes(_smooth(model, frames, trust, cuts))
    details = _details(model, codes, points, trust, cuts)
    return [code.but(detail=detail) for code, detail in zip(codes, details, strict=True)]


def residual_px(model: ShapeModel, codes: Sequence[ShapeCode], landmarks: Array) -> Array:
    """(T, 51) distance in px between the codes' and the given inner landmarks (all but the jaw line)."""
    got = [c.project(model.marks(c))[_JAW:, :2] for c in codes]
    return np.linalg.norm(np.stack(got) - np.asarray(landmarks)[:, _JAW:], axis=2)


def _key_frames(trust: Array) -> Array:
    good = np.flatnonzero(trust > 0.5 * trust.max())
    return good[np.unique(np.linspace(0, len(good) - 1, min(_KEY_FRAMES, len(good))).astype(int))]


def _prior(model: ShapeModel) -> _Prior:
    names = model.expressions
    spread = np.array([_spread(n) for n in names])
    precision = np.diag(1 / spread**2)
    for k, name in enumerate(names):
        if name.endswith("_L"):
            other = names.index(name[:-1] + "R")
            precision[np.ix_([k, other], [k, other])] += np.array([[1, -1], [-1, 1]]) / _SIDES_APART**2
    return _Prior(precision)


def _spread(name: str) -> float:
    return next((v for k, v in _SPREAD.items() if name.startswith(k)), _SPREAD_OTHER)


def _start(model: ShapeModel, points: Array, identity: Array) -> _Frames:
    """Pose by linear least squares (an affine camera, made a turn and a zoom), no expression."""
    shape = model.landmarks(identity, np.zeros(len(model.expressions))).astype(np.float64)
    weight = np.r_[np.full(_JAW, 0.2), np.ones(68 - _JAW)]
    design = np.c_[shape, np.ones(68)] * weight[:, None]
    affine = np.linalg.lstsq(
        design, (points * weight[:, None]).transpose(1, 0, 2).reshape(68, -1), rcond=None
    )[0]
    rows = affine[:3].reshape(3, -1, 2).transpose(1, 2, 0) * np.array([1.0, -1.0])[None, :, None]  # (T, 2, 3)
    u, s, vt = np.linalg.svd(rows, full_matrices=False)
    two = u @ vt
    rotation = np.concatenate([two, np.cross(two[:, 0], two[:, 1])[:, None]], 1)
    shift = affine[3].reshape(-1, 2)
    return _Frames(identity, np.zeros((len(points), len(model.expressions))), rotation, s.mean(1), shift)


def _solve_in_chunks(model: ShapeModel, points: Array, frames: _Frames, prior: _Prior) -> _Frames:
    """Expression and pose of every frame, each for itself: chunks only bound the memory."""
    parts = []
    for a in range(0, len(points), _CHUNK):
        part = replace(
            frames,
            expression=frames.expression[a : a + _CHUNK],
            rotation=frames.rotation[a : a + _CHUNK],
            scale=frames.scale[a : a + _CHUNK],
            shift=frames.shift[a : a + _CHUNK],
        )
        parts.append(_solve(model, points[a : a + _CHUNK], part, prior, identity=False))
    joined = [
        np.concatenate([getattr(p, n) for p in parts]) for n in ("expression", "rotation", "scale", "shift")
    ]
    return _Frames(frames.identity, *joined)


def _solve(
    model: ShapeModel, points: Array, frames: _Frames, prior: _Prior, *, identity: bool, rounds: int = 14
) -> _Frames:
    for k in range(rounds):
        frames = _step(model, points, frames, prior, identity=identity, pose_only=k < 2)
    return frames


def _step(
    model: ShapeModel, points: Array, frames: _Frames, prior: _Prior, *, identity: bool, pose_only: bool
) -> _Frames:
    """One Gauss-Newton step. Local unknowns of a frame: E expressions, 3 turns, log scale, 2 shifts in cm."""
    count = len(model.expressions)
    residual, local, shared = _derivatives(model, points, frames)
    weight = _weights(points, residual, frames.scale)
    weighted = np.einsum("tpij,tpjn->tpin", weight, local).reshape(len(points), 136, -1)
    flat, error = local.reshape(len(points), 136, -1), residual.reshape(len(points), 136)
    system = flat.transpose(0, 2, 1) @ weighted
    right = np.einsum("tpn,tp->tn", weighted, error)
    system[:, :count, :count] += prior.precision
    right[:, :count] -= frames.expression @ prior.precision
    if pose_only:
        step = np.zeros_like(right)
        step[:, count:] = np.linalg.solve(system[:, count:, count:], right[:, count:, None])[..., 0]
        return _moved(frames, step, np.zeros(IDENTITY))
    change = np.zeros(IDENTITY)
    if identity:
        change = _identity_step(frames, system, right, weighted, shared, weight, residual)
        coupling = weighted.transpose(0, 2, 1) @ shared.reshape(len(points), 136, -1)
        right = right - coupling @ change
    step = _bounded(system, right, frames.expression)
    return _moved(frames, step, change)


def _derivatives(model: ShapeModel, points: Array, frames: _Frames) -> tuple[Array, Array, Array]:
    """Residual (T, 68, 2) in cm, y down, and its derivatives by the local (T, 68, 2, E + 6) and shared
    unknowns.
    """
    modes = model.landmark_modes.astype(np.float64)
    shape = np.tensordot(frames.identity, modes[1 : 1 + IDENTITY], 1) + modes[0]
    shape = shape + np.tensordot(frames.expression, modes[1 + IDENTITY :], 1)
    turned = np.einsum("tij,tpj->tpi", frames.rotation, shape)
    camera = frames.rotation[:, :2] * np.array([1.0, -1.0])[None, :, None]  # (T, 2, 3)
    image = turned[..., :2] * [1.0, -1.0]
    residual = (points - frames.shift[:, None]) / frames.scale[:, None, None] - image
    expression = np.einsum("tij,epj->tpie", camera, modes[1 + IDENTITY :], optimize=True)
    shared = np.einsum("tij,kpj->tpik", camera, modes[1 : 1 + IDENTITY], optimize=True)
    x, y, z = np.moveaxis(turned, -1, 0)
    zero = np.zeros_like(x)
    turn = np.stack([np.stack([zero, z, -y], -1), np.stack([z, zero, -x], -1)], -2)  # turns about x, y, z
    shift = np.broadcast_to(np.eye(2), (*image.shape[:2], 2, 2))
    return residual, np.concatenate([expression, turn, image[..., None], shift], -1), shared


def _weights(points: Array, residual: Array, scale: Array) -> Array:
    """(T, 68, 2, 2): precision of each landmark; along the jaw's outline almost none; outliers count less."""
    base = np.broadcast_to(np.eye(2), (*residual.shape[:2], 2, 2)).copy()
    along = np.gradient(points[:, :_JAW], axis=1)
    along = along / np.maximum(np.linalg.norm(along, axis=2, keepdims=True), 1e-9)
    slide = along[..., :, None] * along[..., None, :]
    base[:, :_JAW] = _JAW_WEIGHT * (np.eye(2) - (1 - _SLIDE) * slide)
    far = (residual**2).sum(2) / _OUTLIER_CM**2
    return base / (1 + far)[..., None, None] / _NOISE_CM**2


def _identity_step(
    frames: _Frames,
    system: Array,
    right: Array,
    weighted: Array,
    shared: Array,
    weight: Array,
    residual: Array,
) -> Array:
    """(K,) change of identity with the local unknowns eliminated."""
    count = len(system)
    flat = shared.reshape(count, 136, -1)
    both = np.einsum("tpij,tpjn->tpin", weight, shared).reshape(count, 136, -1)
    coupling = weighted.transpose(0, 2, 1) @ flat  # (T, n, K)
    solved = np.linalg.solve(system, np.concatenate([coupling, right[..., None]], 2))
    own = flat.transpose(0, 2, 1) @ both - coupling.transpose(0, 2, 1) @ solved[..., :-1]
    pull = np.einsum("tpk,tp->tk", both, residual.reshape(count, 136))
    pull = pull - (coupling.transpose(0, 2, 1) @ solved[..., -1:])[..., 0]
    share = min(1.0, _INDEPENDENT_FRAMES / count)
    return np.linalg.solve(share * own.sum(0) + np.eye(IDENTITY), share * pull.sum(0) - frames.identity)


def _bounded(system: Array, right: Array, expression: Array) -> Array:
    """Newton step (T, n) that keeps expressions within bounds: those that would leave are set there, and the
    others solved again."""
    count = expression.shape[1]
    step = np.linalg.solve(system, right[..., None])[..., 0]
    wanted = np.clip(expression + step[:, :count], _LOW, _HIGH) - expression
    stuck = np.zeros_like(step, dtype=bool)
    stuck[:, :count] = np.abs(wanted - step[:, :count]) > 1e-9
    fixed = np.zeros_like(step)
    fixed[:, :count] = wanted
    fixed = np.where(stuck, fixed, 0)
    rest = np.where(stuck, 0, right - np.einsum("tij,tj->ti", system, fixed))
    reduced = np.where(stuck[:, :, None] | stuck[:, None, :], 0, system)
    reduced[:, np.arange(step.shape[1]), np.arange(step.shape[1])] += stuck
    return np.linalg.solve(reduced, rest[..., None])[..., 0] + fixed


def _moved(frames: _Frames, step: Array, identity: Array) -> _Frames:
    count = frames.expression.shape[1]
    turns = np.stack([rotation_matrix(v) for v in step[:, count : count + 3]])
    grow = np.exp(np.clip(step[:, count + 3], -0.3, 0.3))
    return _Frames(
        frames.identity + identity,
        np.clip(frames.expression + step[:, :count], _LOW, _HIGH),
        turns @ frames.rotation,
        frames.scale * grow,
        frames.shift + frames.scale[:, None] * step[:, count + 4 :],
    )


def _smooth(model: ShapeModel, frames: _Frames, trust: Array, cuts: Sequence[int]) -> _Frames:
    """Each take for itself, weighted by trust, so that a gap is bridged by its neighbours."""
    blink = np.array([n.startswith("eyeBlink") for n in model.expressions])
    parts = []
    for take in _takes(len(trust), cuts):
        own = trust[take]
        middle = frames.rotation[(take.start + take.stop) // 2]
        turns = np.stack([rotation_vector(r @ middle.T) for r in frames.rotation[take]])
        pose = np.c_[turns, np.log(frames.scale[take]), frames.shift[take]]
        pose = local_quadratic(pose, own, _WINDOW_SIGMA_POSE)
        expression = local_quadratic(frames.expression[take], own, _WINDOW_SIGMA_EXPRESSION)
        quick = local_quadratic(frames.expression[take], own, _WINDOW_SIGMA_BLINK)
        expression = np.where(blink, quick, expression)
        rotation = np.stack([rotation_matrix(v) for v in pose[:, :3]]) @ middle
        parts.append((expression, rotation, np.exp(pose[:, 3]), pose[:, 4:]))
    return _Frames(frames.identity, *(np.concatenate(c) for c in zip(*parts, strict=True)))


def _takes(count: int, cuts: Sequence[int]) -> list[slice]:
    return [slice(a, b) for a, b in pairwise([0, *sorted(c for c in cuts if 0 < c < count), count])]


def _details(
    model: ShapeModel, codes: list[ShapeCode], points: Array, trust: Array, cuts: Sequence[int]
) -> Array:
    """(T, 68, 3) centimetres: what is left between the landmarks and the codes, steady over time, in the
    face's frame.

    The jaw line is left out: its landmarks slide.
    """
    out = np.zeros((len(codes), 68, 3))
    for code, seen, row in zip(codes, points, out, strict=True):
        off = (seen - code.project(model.marks(code))[:, :2]) / code.scale
        row[_JAW:] = (np.c_[off * [1, -1], np.zeros(68)] @ code.rotation)[_JAW:]
    long = np.linalg.norm(out, axis=2, keepdims=True)
    out *= np.minimum(1, _LARGEST_DETAIL_CM / np.maximum(long, 1e-9))
    for take in _takes(len(codes), cuts):
        flat = local_quadratic(
            out[take].reshape(take.stop - take.start, -1), trust[take], _WINDOW_SIGMA_DETAIL
        )
        out[take] = flat.reshape(-1, 68, 3)
    return out


def local_quadratic(values: Array, weights: Array, sigma: float) -> Array:
    """(T, n) smoothed over time.

    Each frame gets the value there of the quadratic fitted around it, weighted by `weights` (T,) and a
    Gaussian of `sigma` frames. Polynomials of second degree pass unchanged. Short takes pass as they are.
    """
    count, reach = len(values), int(np.ceil(4 * sigma))
    if count < 4:
        return values
    time = np.arange(-reach, reach + 1)
    index = np.arange(count)[:, None] + time
    inside = (index >= 0) & (index < count)
    index = index.clip(0, count - 1)
    kernel = np.exp(-0.5 * (time / sigma) ** 2) * weights[index] * inside  # (T, window)
    powers = np.stack([time**0, time, time**2]).astype(np.float64) / np.array([[1], [sigma], [sigma**2]])
    normal = np.einsum("as,bs,ts->tab", powers, powers, kernel)
    normal += np.eye(3) * 1e-6 * np.trace(normal, axis1=1, axis2=2)[:, None, None]
    unit = np.broadcast_to(np.array([[1.0], [0.0], [0.0]]), (count, 3, 1))
    row = np.linalg.solve(normal, unit)[..., 0]
    share = (row @ powers) * kernel
    return np.einsum("ts,tsn->tn", share / share.sum(1, keepdims=True), values[index])


def _codes(frames: _Frames) -> list[ShapeCode]:
    rows = zip(frames.expression, frames.rotation, frames.scale, frames.shift, strict=True)
    return [ShapeCode(frames.identity, e, r, float(s), t) for e, r, s, t in rows]
