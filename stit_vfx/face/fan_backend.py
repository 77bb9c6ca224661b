"""Faces by FAN (Bulat and Tzimiropoulos 2017) through the face_alignment library, with weights already here.

The library would download what it lacks. So its weight files are looked for first, in torch hub's folder, and
nothing of it is constructed unless all are there (`fan_weights`).

The networks, the square around a box and the mirrored averaging are the library's. Two things are not: the
crop, which it cuts at whole pixels without averaging, and its answer, which it rounds to a quarter of a heat
map's pixel and then down to a pixel of the frame. Given heat maps of known landmarks, on a face 110 px wide,
it strays 1.0 px rms and shifts the whole face by 0.3 px from frame to frame; this strays 0.01 px.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

import numpy as np

from stit_vfx.cache import file_sha256
from stit_vfx.errors import DeviceError, MissingPartError, PackSourceError
from stit_vfx.face import fan_weights, steady
from stit_vfx.face.detect import (
    Box,
    Detection,
    Square,
    enlarged,
    for_search,
    overlap,
    square_of,
    without_doubles,
)

FanKind = Literal["fan", "fan-3d"]
CROP_PX, HEAT_PX = 256, 64  # of the network's input and of its heat maps
_FOLLOW_FACE_PX, _FOLLOW_VIEW_PX = 120, 360
_REACH = 2  # px of a heat map around its peak that say where it is


class FanFinder:
    """S3FD detector and FAN landmarks with mirrored averaging. Surer than dlib on turned faces and hard
    light; slow without a GPU.

    "fan" follows the visible outline. "fan-3d" follows points of the head itself: its jaw goes behind a
    turned cheek. The crop's corners come from eyes and mouth, which both place alike.

    Frames wider than 1600 px are searched at that width, for faces from about 20 px in it; the landmarks come
    from the frame itself.
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
        small, scale = for_search(image8)
        found = without_doubles(
            [self._detection(image8, enlarged(box, scale), score) for box, score in self._search(small)]
        )
        if not describe:
            return found
        return [dataclasses.replace(d, descriptor=self.describe(image8, d.landmarks)) for d in found]

    def follow(self, image8: np.ndarray, landmarks: np.ndarray) -> Detection | None:
        before = square_of(landmarks)
        upright = Square(before.centre, before.side)
        near, matrix = steady.view(image8, upright, face_px=_FOLLOW_FACE_PX, size_px=_FOLLOW_VIEW_PX)
        expected = Square(((_FOLLOW_VIEW_PX - 1) / 2,) * 2, _FOLLOW_FACE_PX).box
        boxes = self._search(np.rint(near).astype(np.uint8))
        box, score = max(boxes, key=lambda each: overlap(each[0], expected), default=(None, 0.0))
        if box is None or overlap(box, expected) < 0.2:
            return None
        x0, y0, x1, y1 = steady.back(np.array(box).reshape(2, 2), matrix).ravel().tolist()
        found = self._detection(image8, (x0, y0, x1, y1), score)
        return found if overlap(found.box, upright.box) > 0.3 else None

    def _search(self, image8: np.ndarray) -> list[tuple[Box, float]]:
        """Boxes and scores of the faces in a picture."""
        with _cudnn_untouched():
            found = self._net.face_detector.detect_from_image(np.ascontiguousarray(image8))
        return [((float(r[0]), float(r[1]), float(r[2]), float(r[3])), float(r[4])) for r in found]

    def describe(self, image8: np.ndarray, landmarks: np.ndarray) -> np.ndarray | None:
        from stit_vfx.face.dlib_backend import descriptor

        try:
            return descriptor(image8, landmarks)
        except MissingPartError:
            return None

    def _detection(self, image8: np.ndarray, box: Box, score: float) -> Detection:
        square = _around(box, self._net.face_detector.reference_scale)
        crop, matrix = steady.view(image8, square, face_px=CROP_PX, size_px=CROP_PX)
        places = (peaks(self._heat(crop)) + 0.5) * (CROP_PX / HEAT_PX) - 0.5
        landmarks = steady.back(places, matrix)
        return Detection(box=square_of(landmarks).box, score=score, landmarks=landmarks)

    def _heat(self, crop: np.ndarray) -> np.ndarray:
        """(68, 64, 64) of a crop (256, 256, 3) of 0..255, and of its mirror image, added."""
        import torch
        from face_alignment.utils import flip

        net = self._net
        given = torch.from_numpy(crop.transpose(2, 0, 1)[None].astype(np.float32) / 255)
        given = given.to(net.device, dtype=net.dtype)
        with torch.no_grad():
            plain, mirrored = (_last(net.face_alignment_net(each)) for each in (given, flip(given)))
            both = plain + flip(mirrored, is_label=True)
        return np.asarray(both[0].float().cpu().numpy())


def _last(heat: Any) -> Any:
    """The network may give the maps of all its stages."""
    return heat[-1] if isinstance(heat, list | tuple) else heat


def _around(box: Box, reference: float) -> Square:
    """The square that the library cuts around a detector's box."""
    width, height = box[2] - box[0], box[3] - box[1]
    centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2 - 0.12 * height)
    return Square(centre, 200.0 * (width + height) / reference)


def peaks(heat: np.ndarray) -> np.ndarray:
    """(K, 2) x, y of the highest spot of each map (K, H, W), to a fraction of its pixels.

    The top of the Gaussian that fits best around the highest pixel: a parabola through the logarithms, each
    weighted by its heat (Guo 2011, "A simple algorithm for fitting a Gaussian function"). It is exact for a
    Gaussian of any width, where a centre of mass is drawn towards the middle of its window. Where there is no
    spot to fit, the highest pixel itself.
    """
    count, height, width = heat.shape
    size = 2 * _REACH + 1
    rows, columns = np.divmod(heat.reshape(count, -1).argmax(1), width)
    top = np.clip(rows - _REACH, 0, height - size)
    left = np.clip(columns - _REACH, 0, width - size)
    y, x = (each.ravel() for each in np.mgrid[:size, :size])
    window = heat[np.arange(count)[:, None], top[:, None] + y, left[:, None] + x].astype(np.float64)
    highest = np.stack([columns - left, rows - top], axis=1).astype(np.float64)
    inside = np.clip(_tops(window, x, y, highest), highest - 1, highest + 1)
    return inside + np.stack([left, top], axis=1)


def _tops(window: np.ndarray, x: np.ndarray, y: np.ndarray, highest: np.ndarray) -> np.ndarray:
    """(K, 2) tops of Gaussians fitted to windows (K, N) at places x, y (N,), or `highest` where none fits."""
    peak = window.max(axis=1, keepdims=True)
    weight = np.clip(window / np.where(peak > 0, peak, 1), 1e-3, 1)
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    squares = weight[..., None] ** 2 * terms
    fitted = np.linalg.solve(terms.T @ squares, squares.transpose(0, 2, 1) @ np.log(weight)[..., None])
    _, gx, gy, xx, xy, yy = fitted[..., 0].T
    bend = 4 * xx * yy - xy * xy
    round_top = (bend > 1e-9) & (xx < 0) & (peak[:, 0] > 0)
    bend = np.where(round_top, bend, 1)
    tops = np.stack([(xy * gy - 2 * yy * gx) / bend, (xy * gx - 2 * xx * gy) / bend], axis=1)
    return np.where(round_top[:, None], tops, highest)


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
    _require_same_place(kind)
    # 2.5-D: points on the head's own shape, as they are seen in the picture; the depth network is not needed.
    types = face_alignment.LandmarksType
    # compile=True would write to the user's home and cost a minute on the first frame. Without a path, the
    # detector's file would be opened by a loader that runs what it finds.
    with _cudnn_untouched(), _damage_told():
        return face_alignment.FaceAlignment(
            types.TWO_D if kind == "fan" else types.TWO_HALF_D,
            device=device,
            flip_input=True,
            compile=False,
            face_detector_kwargs={"path_to_detector": str(fan_weights.weights_path("s3fd"))},
        )


@contextmanager
def _damage_told() -> Iterator[None]:
    """What torch raises for files that hold no weights of these networks, in words for users."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (OSError, EOFError, RuntimeError, TypeError, AttributeError, UnpicklingError) as error:
        said = " ".join(str(error).split())[:200]
        raise PackSourceError(
            f"FAN's weight files cannot be opened: {said}",
            where=fan_weights.weights_folder(),
            hint="Remove them there, then run stit packs convert fan with files as published",
        ) from error


def _require_same_place(kind: FanKind) -> None:
    """Raise MissingPartError if the library would look for another file than ours, and so download it."""
    import face_alignment
    import torch
    from face_alignment.api import models_urls

    name = models_urls["2DFAN-4" if kind == "fan" else "3DFAN-4"].rsplit("/", 1)[-1]
    theirs = Path(torch.hub.get_dir(), "checkpoints", name)
    ours = fan_weights.weights_path("2DFAN4" if kind == "fan" else "3DFAN4")
    if theirs != ours:
        raise MissingPartError(
            f"face_alignment {face_alignment.__version__} looks for {theirs}, not for this file",
            where=ours,
            hint="Run: pip install face-alignment==1.5.0",
        )


@contextmanager
def _cudnn_untouched() -> Iterator[None]:
    """The library turns on cuDNN's search for fast kernels in the whole process; this puts it back."""
    import torch

    before = torch.backends.cudnn.benchmark
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
