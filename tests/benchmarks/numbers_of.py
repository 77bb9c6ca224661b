"""What is measured of an edited shot. Landmarks and descriptor are dlib's: the edit knows nothing of them."""

from __future__ import annotations

import cv2
import numpy as np
from skimage.metrics import structural_similarity

from stit_vfx.face.detect import FaceFinder
from stit_vfx.face.dlib_backend import DlibFinder
from stit_vfx.measure.edits import edit_strength
from stit_vfx.measure.identity import descriptor_distance, tg_id, tl_id
from stit_vfx.measure.stability import jitter_ratio

Array = np.ndarray

LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
# What an edit is for, the length it moves first of all before the others; what else moves is leakage.
MEANT = {
    "smile": ("corner_lift", "mouth_width", "mouth_opening", "eye_opening"),
    "mouth_open": ("mouth_opening", "face_height", "corner_lift", "mouth_width"),
    "eyes_closed": ("eye_opening",),
    "brows_up": ("brow_height", "eye_opening"),
    "anger": ("brow_height", "corner_lift", "eye_opening", "mouth_width", "mouth_opening"),
    "surprise": (
        *("brow_height", "eye_opening", "mouth_opening", "face_height", "corner_lift", "mouth_width"),
    ),
    "frown": ("corner_lift", "brow_height", "mouth_width"),
    "pucker": ("mouth_width", "corner_lift"),
    "age": ("effect", "face_height", "brow_height", "eye_opening", "corner_lift", "mouth_width", "jaw_width"),
    "masculine": ("jaw_width", "effect", "brow_height", "face_height", "eye_opening", "mouth_width"),
    "eye_size": ("eye_opening", "brow_height"),
    "jaw_width": ("jaw_width",),
    "face_width": ("jaw_width",),
    "chin_length": ("face_height",),
}


def landmarks(finder: FaceFinder, pictures8: Array, near: Array | None = None) -> Array:
    """(T, 68, 2) of the largest face in frames (T, H, W, 3), or of the one at landmarks `near` (T, 68, 2).

    Raises ValueError where a frame has no face.
    """
    found = []
    for k, picture in enumerate(pictures8):
        one = None if near is None else finder.follow(picture, near[k])
        if one is None:
            faces = finder.find(picture, describe=False)
            if not faces:
                raise ValueError(f"no face in frame {k}")
            one = faces[0]
        found.append(one.landmarks)
    return np.stack(found)


def jaw_width(points: Array) -> Array:
    """(T,) width of the jaw at the mouth's height, in eye distances."""
    eyes = points[:, 42:48].mean(1) - points[:, 36:42].mean(1)
    return np.linalg.norm(points[:, 12] - points[:, 4], axis=-1) / np.linalg.norm(eyes, axis=-1)


def moved(before: Array, after: Array) -> dict[str, float]:
    """How much each length grew, in eye distances."""
    widths = float((jaw_width(after) - jaw_width(before)).mean())
    return {**edit_strength(before, after), "jaw_width": widths}


def leakage(direction: str, change: dict[str, float]) -> float | None:
    """The largest change of what the edit is not for; None for edits that nothing was written down of."""
    meant = MEANT.get(direction)
    if meant is None:
        return None
    return max((abs(value) for name, value in change.items() if name not in meant), default=0.0)


def effect(plate_code: Array, edit_code: Array, matte: Array) -> float:
    """Mean absolute difference of code inside the matte: what edits that move no landmark are measured by."""
    inside = matte > 0.5
    return float(np.abs(edit_code - plate_code)[inside].mean())


def descriptors(finder: DlibFinder, pictures8: Array, points: Array) -> Array:
    """(T, 128) of the faces at landmarks (T, 68, 2) of frames (T, H, W, 3)."""
    return np.stack([finder.describe(p, at) for p, at in zip(pictures8, points, strict=True)])


def identity(source: Array, edit: Array) -> dict[str, float]:
    """Distance of the descriptors (T, 128), and for several frames TL-ID and TG-ID."""
    told = {"distance": descriptor_distance(source, edit)}
    if len(source) > 1:
        told |= {"tl_id": tl_id(source, edit), "tg_id": tg_id(source, edit)}
    return told


def steadiness(before: Array, after: Array) -> float | None:
    """Landmark jitter of the edit over the plate's."""
    return jitter_ratio(before, after) if len(before) > 2 else None


def detail(plate_code: Array, edit_code: Array, matte: Array, *, sigma: float = 1.0) -> float:
    """High-frequency energy of the edit over the plate's, where the matte is full: rms of what a Gaussian of
    `sigma` px takes away."""
    energy = []
    for pictures in (plate_code, edit_code):
        total = 0.0
        for picture, share in zip(pictures, matte, strict=True):
            luma = np.clip(picture, 0, 1) @ LUMA
            inside = cv2.erode((share > 0.99).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
            total += float(((luma - cv2.GaussianBlur(luma, (0, 0), sigma))[inside] ** 2).sum())
        energy.append(total)
    return float(np.sqrt(energy[1] / max(energy[0], 1e-12)))


def psnr(ours: Array, theirs: Array, mask: Array | None = None) -> float:
    """dB between pictures (..., 3) in code 0..1, where `mask` (...) is set."""
    error = (np.clip(ours, 0, 1) - np.clip(theirs, 0, 1)) ** 2
    chosen = error if mask is None else error[mask]
    return float(-10 * np.log10(max(chosen.mean(), 1e-12)))


def unlikeness(ours: Array, theirs: Array) -> float:
    """1 - SSIM (Wang et al. 2004) of two pictures (H, W, 3) in code 0..1: a distance of structure."""
    like = structural_similarity(
        np.clip(ours, 0, 1), np.clip(theirs, 0, 1), channel_axis=2, data_range=1.0, gaussian_weights=True
    )
    return float(1 - like)


def monotonic(values: list[float], *, slack: float = 0.01) -> bool:
    """Whether values rise, or fall, from the first to the last; `slack` is the landmarks' own noise."""
    steps = np.diff(values)
    return bool((steps > -slack).all() or (steps < slack).all())
