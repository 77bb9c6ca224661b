"""Faces by FAN (Bulat and Tzimiropoulos 2017) through the face_alignment library, with weights already here.

The library would download what it lacks. So its two weight files are looked for first, in torch hub's
folder, and nothing of it is constructed unless both are there.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np

from stit_vfx.errors import DeviceError, MissingPartError
from stit_vfx.face.detect import Detection, overlap, square_of, without_doubles

WEIGHTS = ("2DFAN4-11f355bf06.pth.tar", "s3fd-619a316812.pth")


class FanFinder:
    """S3FD detector and 2-D FAN landmarks with mirrored averaging. Surer than dlib on turned faces and
    hard light; slow without a GPU."""

    name = "fan"
    licence = (
        "face_alignment: BSD-3-Clause. Its weights were trained on 300-W-LP and WIDER FACE, research data"
        " whose terms exclude commercial use: ask their owners before you deliver with them."
    )
    commercial_use: Literal["yes", "no", "unknown"] = "no"

    def __init__(self, device: str = "cpu") -> None:
        _require_weights()
        self._net = _network(device)

    def find(self, image8: np.ndarray, *, describe: bool = True) -> list[Detection]:
        boxes = self._net.face_detector.detect_from_image(image8.copy())
        found = without_doubles(self._landmarks(image8, list(boxes)))
        if not describe:
            return found
        return [dataclasses.replace(d, descriptor=self.describe(image8, d.landmarks)) for d in found]

    def follow(self, image8: np.ndarray, landmarks: np.ndarray) -> Detection | None:
        """The whole frame is searched: the detector is the small part of this finder's time."""
        expected = square_of(landmarks).box
        best = max(self.find(image8, describe=False), key=lambda d: overlap(d.box, expected), default=None)
        return best if best is not None and overlap(best.box, expected) > 0.3 else None

    def describe(self, image8: np.ndarray, landmarks: np.ndarray) -> np.ndarray | None:
        from stit_vfx.face.dlib_backend import descriptor

        try:
            return descriptor(image8, landmarks)
        except MissingPartError:
            return None

    def _landmarks(self, image8: np.ndarray, boxes: list[Any]) -> list[Detection]:
        if not boxes:
            return []
        points = self._net.get_landmarks_from_image(image8, detected_faces=boxes)
        return [_detection(p, float(b[4])) for p, b in zip(points, boxes, strict=True)]


def _detection(points: np.ndarray, score: float) -> Detection:
    landmarks = np.asarray(points, dtype=np.float64)
    return Detection(box=square_of(landmarks).box, score=score, landmarks=landmarks)


def weights_folder() -> Path:
    """Torch hub's checkpoint folder, worked out without torch: $TORCH_HOME, else $XDG_CACHE_HOME/torch."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("TORCH_HOME") or cache / "torch") / "hub" / "checkpoints"


def fan_weights_present() -> bool:
    """Whether both weight files are on this machine."""
    return all((weights_folder() / name).is_file() for name in WEIGHTS)


def _require_weights() -> None:
    for name in WEIGHTS:
        if not (weights_folder() / name).is_file():
            raise MissingPartError(
                f"FAN's weight file {name} is not on this machine",
                where=weights_folder(),
                hint="Copy it there (folder: $TORCH_HOME/hub/checkpoints), or use the dlib finder",
            )


def _network(device: str) -> Any:
    try:
        import face_alignment
        import torch
    except ImportError as error:
        raise MissingPartError(
            f"face_alignment cannot be imported ({error})", hint="Run: pip install face-alignment"
        ) from error
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise DeviceError(f"{device} is not there", hint="Use --device cpu")
    # compile=True would write to the user's home and cost a minute on the first frame.
    return face_alignment.FaceAlignment(
        face_alignment.LandmarksType.TWO_D, device=device, flip_input=True, compile=False
    )
