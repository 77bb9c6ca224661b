"""How strong an edit is, from landmarks: what an artist would see move.

Lengths are in eye distances (between the centres of the eyes), along and across the line of the eyes, so
that they do not change when the head moves, rolls or comes closer. They do change when it turns or nods.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

_INNER_LIPS = ((61, 67), (62, 66), (63, 65))
_LIDS = ((37, 41), (38, 40), (43, 47), (44, 46))


@dataclass(frozen=True, kw_only=True, eq=False)
class FaceShape:
    """One number (or array, for many frames) for each thing; in eye distances, upwards positive.

    mouth_width    corner to corner
    corner_lift    mouth corners above the mean of the lips' middle (51, 57, 62, 66): a smile raises it
    mouth_opening  between the inner lips
    eye_opening    between the lids, both eyes
    brow_height    brows above the eyes
    face_height    eyes to chin
    """

    mouth_width: np.ndarray
    corner_lift: np.ndarray
    mouth_opening: np.ndarray
    eye_opening: np.ndarray
    brow_height: np.ndarray
    face_height: np.ndarray


def face_shape(landmarks: np.ndarray) -> FaceShape:
    """The shape in each frame of landmarks (..., 68, 2) px."""
    points = _in_eye_distances(np.asarray(landmarks, dtype=np.float64))
    height = -points[..., 1]
    corners, middle = height[..., [48, 54]], height[..., [51, 57, 62, 66]]
    return FaceShape(
        mouth_width=np.linalg.norm(points[..., 54, :] - points[..., 48, :], axis=-1),
        corner_lift=corners.mean(axis=-1) - middle.mean(axis=-1),
        mouth_opening=_mean_distance(points, _INNER_LIPS),
        eye_opening=_mean_distance(points, _LIDS),
        brow_height=height[..., 17:27].mean(axis=-1),
        face_height=-height[..., 8],
    )


def edit_strength(source: np.ndarray, edit: np.ndarray) -> dict[str, float]:
    """By how much each number grew, mean over frames; landmarks (T, 68, 2) of the same frames."""
    before, after = face_shape(source), face_shape(edit)
    return {
        f.name: float((getattr(after, f.name) - getattr(before, f.name)).mean()) for f in fields(FaceShape)
    }


def _in_eye_distances(points: np.ndarray) -> np.ndarray:
    """The points with the origin between the eyes, x along them, y down, the eyes 1 apart."""
    west, east = points[..., 36:42, :].mean(axis=-2), points[..., 42:48, :].mean(axis=-2)
    across = (east - west)[..., None, :]
    square = (across**2).sum(axis=-1)
    moved = points - ((west + east) / 2)[..., None, :]
    x = (moved * across).sum(axis=-1) / square
    y = (moved[..., 1] * across[..., 0] - moved[..., 0] * across[..., 1]) / square
    return np.stack([x, y], axis=-1)


def _mean_distance(points: np.ndarray, pairs: tuple[tuple[int, int], ...]) -> np.ndarray:
    one, other = zip(*pairs, strict=True)
    return np.linalg.norm(points[..., list(one), :] - points[..., list(other), :], axis=-1).mean(axis=-1)
