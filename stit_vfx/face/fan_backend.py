"""Faces by FAN (Bulat and Tzimiropoulos 2017) through the face_alignment library, with weights already here.

The library would download what it lacks. So its weight files are looked for first, in torch hub's folder, and
nothing of it is constructed unless all are there (`fan_weights`).
"""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from stit_vfx.cache import file_sha256
from stit_vfx.errors import DeviceError, MissingPartError
from stit_vfx.face import fan_weights
from stit_vfx.face.detect import Detection, overlap, square_of, without_doubles

FanKind = Literal["fan", "fan-3d"]
CROP_PX, HEAT_PX = 256, 64  # of the network's input and of its heat maps
_REACH = 3  # px of a heat map around its peak that say where it is


class FanFinder:
    """S3FD detector and FAN landmarks with mirrored averaging. Surer than dlib on turned faces and hard
    light; slow without a GPU.

    "fan" follows the visible outline. "fan-3d" follows points of the head itself: its jaw goes behind a
    turned cheek. The crop's corners come from eyes and mouth, which both place alike.
    """

    licence = (
        "face_alignment: BSD-3-Clause. Its weights were trained on 300-W-LP and WIDER FACE, research data"
        " whose terms exclude commercial use: ask their owners before you deliver with them."
    )
    commercial_use: Literal["yes", "no", "unknown"] = "no"

    def __init__(self, device: str = "cpu", kind: FanKind = "fan") -> None:
        _require_weights(kind)
        self.name: str = kind
        self._net = _network(kind, device)

    @property
    def sha256(self) -> dict[str, str]:
        kinds = fan_weights.NEEDED[self.name]
        return _digests(tuple(fan_weights.weights_path(kind) for kind in kinds))

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
        return [self._detection(image8, np.asarray(box, np.float64)) for box in boxes]

    def _detection(self, image8: np.ndarray, box: np.ndarray) -> Detection:
        """The library's own crop and heat maps, read between pixels: it would round to whole ones."""
        matrix = _to_crop(box, self._net.face_detector.reference_scale)
        crop = cv2.warpAffine(image8, matrix, (CROP_PX, CROP_PX), flags=cv2.INTER_LINEAR)
        places = (peaks(self._heat(crop)) + 0.5) * (CROP_PX / HEAT_PX) - 0.5
        landmarks = (places - matrix[:, 2]) / matrix[0, 0]
        return Detection(box=square_of(landmarks).box, score=float(box[4]), landmarks=landmarks)

    def _heat(self, crop8: np.ndarray) -> np.ndarray:
        """(68, 64, 64) of a crop (256, 256, 3), and of its mirror image, added."""
        import torch
        from face_alignment.utils import flip

        net = self._net
        given = torch.from_numpy(crop8.transpose(2, 0, 1)[None].astype(np.float32) / 255)
        given = given.to(net.device, dtype=net.dtype)
        with torch.no_grad():
            plain, mirrored = (_last(net.face_alignment_net(each)) for each in (given, flip(given)))
            both = plain + flip(mirrored, is_label=True)
        return np.asarray(both[0].float().cpu().numpy())


def _last(heat: Any) -> Any:
    """The network may give the maps of all its stages."""
    return heat[-1] if isinstance(heat, list | tuple) else heat


def _to_crop(box: np.ndarray, reference: float) -> np.ndarray:
    """(2, 3) from plate px to crop px, centres at integers: the square that the library cuts around a box."""
    low, high = box[:2], box[2:4]
    centre = (low + high) / 2 - [0, 0.12 * (high[1] - low[1])]
    side = 200.0 * (high - low).sum() / reference
    zoom = CROP_PX / side
    return np.array(
        [[zoom, 0, CROP_PX / 2 - 0.5 - zoom * centre[0]], [0, zoom, CROP_PX / 2 - 0.5 - zoom * centre[1]]]
    )


def peaks(heat: np.ndarray) -> np.ndarray:
    """(K, 2) x, y of the highest spot of each map (K, H, W), to a fraction of its pixels.

    The mean place within three pixels of the highest one, weighted by the heat above the window's lowest.
    """
    count, _, width = heat.shape
    rows, columns = np.divmod(heat.reshape(count, -1).argmax(1), width)
    found = np.empty((count, 2))
    for number, (row, column) in enumerate(zip(rows, columns, strict=True)):
        top, left = max(row - _REACH, 0), max(column - _REACH, 0)
        window = heat[number, top : row + _REACH + 1, left : column + _REACH + 1].astype(np.float64)
        weight = window - window.min() + 1e-12
        y, x = np.mgrid[top : top + window.shape[0], left : left + window.shape[1]]
        found[number] = (weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()
    return found


@cache
def _digests(files: tuple[Path, ...]) -> dict[str, str]:
    return {path.name: file_sha256(path) for path in files}


def _require_weights(kind: FanKind) -> None:
    for name in fan_weights.missing(kind):
        raise MissingPartError(
            f"FAN's weight file {name} is not on this machine",
            where=fan_weights.weights_folder(),
            hint="Run: stit packs convert fan FILES (see docs/usage.md), or use the dlib finder",
        )


def _network(kind: FanKind, device: str) -> Any:
    try:
        import face_alignment
        import torch
    except ImportError as error:
        raise MissingPartError(
            f"face_alignment cannot be imported ({error})", hint="Run: pip install face-alignment"
        ) from error
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise DeviceError(f"{device} is not there", hint="Use --device cpu")
    # 2.5-D: points on the head's own shape, as they are seen in the picture; the depth network is not needed.
    types = face_alignment.LandmarksType
    # compile=True would write to the user's home and cost a minute on the first frame.
    return face_alignment.FaceAlignment(
        types.TWO_D if kind == "fan" else types.TWO_HALF_D, device=device, flip_input=True, compile=False
    )
