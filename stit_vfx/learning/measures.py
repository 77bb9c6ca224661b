"""What landmarks say of a face without a person's help: the numbers of `measure.edits`, and its pose."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stit_vfx.learning.labels import Target
from stit_vfx.learning.samples import Samples
from stit_vfx.measure.edits import face_shape

if TYPE_CHECKING:
    from stit_vfx.face.detect import FaceFinder

CACHE = "landmarks.safetensors"
# Generators of a few dozen pixels draw faces that no finder was made for.
_LEAST_PX = 256


def yaw(landmarks: np.ndarray) -> np.ndarray:
    """How far the nose tip lies to the image's right of the middle between the ears, in half face widths."""
    points = np.asarray(landmarks, np.float64)
    west, east = points[..., 0:3, :].mean(-2), points[..., 14:17, :].mean(-2)
    across = east - west
    nose = points[..., 30, :] - (west + east) / 2
    return np.asarray(2 * (nose * across).sum(-1) / (across**2).sum(-1))


def pitch(landmarks: np.ndarray) -> np.ndarray:
    """How far the nose tip lies above the middle between brows and mouth, as a share of that distance."""
    points = np.asarray(landmarks, np.float64)
    brows, mouth = points[..., 17:27, :].mean(-2), points[..., 48:60, :].mean(-2)
    down = mouth - brows
    nose = points[..., 30, :] - (brows + mouth) / 2
    return np.asarray(-(nose * down).sum(-1) / (down**2).sum(-1))


def roll(landmarks: np.ndarray) -> np.ndarray:
    """The angle of the line of the eyes, degrees, clockwise on screen positive."""
    points = np.asarray(landmarks, np.float64)
    across = points[..., 42:48, :].mean(-2) - points[..., 36:42, :].mean(-2)
    return np.asarray(np.degrees(np.arctan2(across[..., 1], across[..., 0])))


def _of_shape(name: str) -> Callable[[np.ndarray], np.ndarray]:
    return lambda landmarks: np.asarray(getattr(face_shape(landmarks), name))


MEASURES: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "smile": _of_shape("corner_lift"),
    "mouth_open": _of_shape("mouth_opening"),
    "mouth_width": _of_shape("mouth_width"),
    "eyes": _of_shape("eye_opening"),
    "brows": _of_shape("brow_height"),
    "face_height": _of_shape("face_height"),
    "yaw": yaw,
    "pitch": pitch,
    "roll": roll,
}


def measured_target(
    samples: Samples,
    name: str,
    finder: FaceFinder | None,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Target:
    """A measure of every sample; NaN where no face was found.

    finder    looks at the pictures; not asked for samples that were made from pictures of faces, nor twice
    progress  called with (pictures done, pictures)
    """
    landmarks = sample_landmarks(samples, finder, progress=progress)
    return Target(name, MEASURES[name](landmarks), "numeric", "measured")


def sample_landmarks(
    samples: Samples,
    finder: FaceFinder | None,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """(N, 68, 2) px, NaN where no face was found. Found ones are kept in the samples' folder."""
    if samples.landmarks is not None:
        return samples.landmarks.astype(np.float64)
    assert finder is not None
    stamp = {"files": list(samples.files), "finder": finder.name}
    path = samples.folder / CACHE
    if (kept := _kept(path, stamp)) is not None:
        return kept
    found = []
    for number in range(len(samples.files)):
        found.append(find_landmarks(samples.picture8(number), finder))
        progress(number + 1, len(samples.files))
    landmarks = np.stack(found)
    _keep(path, stamp, landmarks)
    return landmarks


def find_landmarks(picture8: np.ndarray, finder: FaceFinder) -> np.ndarray:
    """(68, 2) px of the largest face of a picture (H, W, 3) uint8; NaN if there is none."""
    zoom = max(1, -(-_LEAST_PX // min(picture8.shape[:2])))
    faces = finder.find(_enlarged(picture8, zoom), describe=False)
    if not faces:
        return np.full((68, 2), np.nan)
    return (faces[0].landmarks + 0.5) / zoom - 0.5


def _enlarged(picture8: np.ndarray, zoom: int) -> np.ndarray:
    if zoom == 1:
        return picture8
    import cv2

    size = (picture8.shape[1] * zoom, picture8.shape[0] * zoom)
    return np.asarray(cv2.resize(picture8, size, interpolation=cv2.INTER_CUBIC))


def _kept(path: Path, stamp: Mapping[str, object]) -> np.ndarray | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            same = json.loads(file.metadata()["stit"]) == stamp
            return np.asarray(file.get_tensor("landmarks")) if same else None
    except (OSError, SafetensorError, TypeError, KeyError, ValueError):
        return None


def _keep(path: Path, stamp: Mapping[str, object], landmarks: np.ndarray) -> None:
    from safetensors.numpy import save

    from stit_vfx.atomic import atomic_bytes

    atomic_bytes(path, save({"landmarks": landmarks}, metadata={"stit": json.dumps(stamp)}))


def measure_names() -> Sequence[str]:
    """What can be measured, in words of the command line."""
    return tuple(MEASURES)
