"""From landmarks to the crop: the published alignment (STIT section 3.1, after FFHQ's), smoothed in time.

A crop is a quad: (4, 2) float64 plate px with rows NW, SW, SE, NE of the *face*, so that a rolled head has a
rolled quad. Pixel centres are at integers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stit_vfx.errors import QuadFileError

if TYPE_CHECKING:
    from stit_vfx.face.track import FaceTrack

QUADS_SCHEMA = "stit.quads/1"
CENTRE_SIGMA, AXES_SIGMA = 1.0, 3.0

_FRAME_KEY = re.compile(r"-?\d{1,9}")
_HOW = 'Write {"schema": "stit.quads/1", "quads": {"1001": [[x, y], [x, y], [x, y], [x, y]]}}'


def quad_axes(landmarks: np.ndarray, *, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centre c, half side x (to the face's east) and y (to its south) of the crop, each (..., 2), plate px.

    landmarks  (..., 68, 2) iBUG order
    scale      1 is the published crop; more takes in more of the surroundings
    """
    eyes_w, eyes_e = landmarks[..., 36:42, :].mean(axis=-2), landmarks[..., 42:48, :].mean(axis=-2)
    eyes, across = (eyes_w + eyes_e) / 2, eyes_e - eyes_w
    down = (landmarks[..., 48, :] + landmarks[..., 54, :]) / 2 - eyes
    x = across - _quarter_turn(down)
    half = np.maximum(2.0 * _length(across), 1.8 * _length(down)) * scale
    x = x / _length(x) * half
    return eyes + 0.1 * down, x, _quarter_turn(x)


def quads_from_axes(c: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(..., 4, 2) quads of a centre and two half sides."""
    return np.stack([c - x - y, c - x + y, c + x + y, c + x - y], axis=-2)


def smooth_in_time(values: np.ndarray, sigma: float, segment: np.ndarray | None = None) -> np.ndarray:
    """(T, ...) filtered along time by a Gaussian of `sigma` frames, ends mirrored; 0 leaves them as they are.

    Rows of different `segment` (T,) never mix: a cut, or a time without the face, lies between them.
    """
    from scipy.ndimage import gaussian_filter1d

    if sigma == 0:
        return values
    if segment is None:
        return np.asarray(gaussian_filter1d(values, sigma, axis=0))
    out = np.empty_like(values)
    for part in np.unique(segment):
        rows = segment == part
        out[rows] = gaussian_filter1d(values[rows], sigma, axis=0)
    return out


def quads_from_landmarks(
    landmarks: np.ndarray,
    *,
    scale: float = 1.0,
    center_sigma: float = CENTRE_SIGMA,
    xy_sigma: float = AXES_SIGMA,
    segment: np.ndarray | None = None,
) -> np.ndarray:
    """(T, 4, 2) quads of a shot's landmarks (T, 68, 2). What is smoothed is the crop, not the landmarks."""
    c, x, y = quad_axes(landmarks, scale=scale)
    return quads_from_axes(
        smooth_in_time(c, center_sigma, segment),
        smooth_in_time(x, xy_sigma, segment),
        smooth_in_time(y, xy_sigma, segment),
    )


def track_quads(
    track: FaceTrack,
    *,
    scale: float = 1.0,
    center_sigma: float = CENTRE_SIGMA,
    xy_sigma: float = AXES_SIGMA,
) -> np.ndarray:
    """(T, 4, 2): one quad for each frame of the track, in its order, smoothed within its segments."""
    return quads_from_landmarks(
        track.landmarks, scale=scale, center_sigma=center_sigma, xy_sigma=xy_sigma, segment=track.segment
    )


def crop_coefficients(quad: np.ndarray, size: int) -> np.ndarray:
    """(8,) a..h of the map from frame to crop, as PIL's PERSPECTIVE takes them to paste a crop back.

    Here, as in PIL, a pixel covers [k, k + 1). X = (a x + b y + c) / (g x + h y + 1); Y likewise with d e f.
    """
    crop_corners = size * np.array([[0, 0], [0, 1], [1, 1], [1, 0]], dtype=np.float64)
    rows = []
    for (x, y), (u, v) in zip(np.asarray(quad, dtype=np.float64) + 0.5, crop_corners, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    return np.linalg.solve(np.array(rows), crop_corners.ravel())


def load_quads(path: Path | str, *, frames: Iterable[int] | None = None) -> dict[int, np.ndarray]:
    """Hand-made quads by frame, each (4, 2). Without `frames` the keys alone; with, a quad for each of them:
    linear between keys, held before the first and after the last.

    Raises QuadFileError, which names the key, for anything that is not four ordered corners of a convex quad.
    """
    keys = dict(sorted(_read_keys(Path(path)).items()))
    if frames is None:
        return keys
    wanted = sorted(set(frames))
    at, corners = list(keys), np.stack(list(keys.values())).reshape(len(keys), 8)
    moved = np.stack([np.interp(wanted, at, column) for column in corners.T], axis=1)
    return dict(zip(wanted, moved.reshape(-1, 4, 2), strict=True))


def _read_keys(path: Path) -> dict[int, np.ndarray]:
    try:
        told = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise QuadFileError(
            f"cannot be read ({error.strerror})", where=path, hint="Check the path"
        ) from error
    except (ValueError, RecursionError) as error:
        raise QuadFileError(f"is not JSON ({error})", where=path, hint=_HOW) from error
    if not isinstance(told, dict) or told.get("schema") != QUADS_SCHEMA:
        raise QuadFileError(f'has no "schema": "{QUADS_SCHEMA}"', where=path, hint=_HOW)
    quads = told.get("quads")
    if not isinstance(quads, dict) or not quads:
        raise QuadFileError("has no quads", where=path, hint=_HOW)
    return {_frame(key, path): _quad(value, key, path) for key, value in quads.items()}


def _frame(key: str, path: Path) -> int:
    if not _FRAME_KEY.fullmatch(key):
        raise QuadFileError(f"quads.{key[:40]} is not a frame number", where=path, hint=_HOW)
    return int(key)


def _quad(value: Any, key: str, path: Path) -> np.ndarray:
    if not _is_four_points(value):
        raise QuadFileError(f"quads.{key} is not four [x, y] of finite numbers", where=path, hint=_HOW)
    quad = np.array(value, dtype=np.float64)
    edges = np.roll(quad, -1, axis=0) - quad
    following = np.roll(edges, -1, axis=0)
    if not (edges[:, 0] * following[:, 1] - edges[:, 1] * following[:, 0] < 0).all():
        raise QuadFileError(
            f"quads.{key} is not a convex quad with its corners in the order NW, SW, SE, NE",
            where=path,
            hint="Give the face's upper left corner first, then go round by its lower left",
        )
    return quad


def _is_four_points(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 4
        and all(isinstance(p, list) and len(p) == 2 and all(map(_is_number, p)) for p in value)
    )


def _is_number(value: Any) -> bool:
    # A plate is narrower than this; larger numbers overflow when they are multiplied.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e7


def _quarter_turn(v: np.ndarray) -> np.ndarray:
    return np.stack([-v[..., 1], v[..., 0]], axis=-1)


def _length(v: np.ndarray) -> np.ndarray:
    return np.linalg.norm(v, axis=-1, keepdims=True)
