"""Faces by dlib: HOG detector, 68-point regression trees, 128-number descriptor. No GPU, no torch."""

from __future__ import annotations

import dataclasses
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from stit_vfx.cache import file_sha256
from stit_vfx.errors import InternalError, MissingPartError
from stit_vfx.face import steady
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

_LANDMARKS = "shape_predictor_68_face_landmarks.dat"
_DESCRIPTOR = "dlib_face_recognition_resnet_model_v1.dat"
_INSTALL = "Run: pip install dlib-bin face_recognition_models"
# Things that are no face score up to 0.12 in the frames looked at; faces score 0.5 and more.
_SURE_SCORE = 0.25
# Where a face was a frame ago, the detector may be less sure.
_FOLLOW_SCORE = -0.2
_FOLLOW_FACE_PX, _FOLLOW_VIEW_PX = 120, 300


class DlibDetector:
    """dlib's frontal face detector (HOG): part of the library itself, under its licence."""

    def __init__(self) -> None:
        self._detector = _library().get_frontal_face_detector()

    def search(self, image8: np.ndarray) -> list[tuple[Box, float]]:
        """Boxes and scores of the faces in a picture; looked for at twice the size if there are none."""
        image8 = _checked(image8)
        return self.boxes(image8, 0, _SURE_SCORE) or self.boxes(image8, 1, _SURE_SCORE)

    def boxes(self, image8: np.ndarray, doublings: int, least: float) -> list[tuple[Box, float]]:
        """Boxes and scores of at least `least` in a picture that is doubled so many times."""
        boxes, scores, _ = self._detector.run(image8, doublings, least)
        return [
            ((float(b.left()), float(b.top()), float(b.right()), float(b.bottom())), float(score))
            for b, score in zip(boxes, scores, strict=True)
        ]


class DlibFinder:
    """dlib's frontal detector and landmarks, averaged to a ninth of a pixel (see `steady`).

    Finds faces from 40 px, turned by up to about 40 degrees and rolled by up to 25; `follow` allows any roll.
    """

    name = "dlib"
    licence = (
        "dlib: Boost Software License 1.0. Its 68-point landmark model was trained on 300-W, whose terms"
        " exclude commercial use: ask Imperial College London before you deliver with it."
    )
    commercial_use: Literal["yes", "no", "unknown"] = "no"

    def __init__(self) -> None:
        self._dlib = _library()
        self._detector = DlibDetector()
        self._predictor = self._dlib.shape_predictor(str(model_file(_LANDMARKS)))

    def find(self, image8: np.ndarray, *, describe: bool = True) -> list[Detection]:
        image8 = _checked(image8)
        small, scale = for_search(image8)
        boxes = self._detector.search(small)
        found = without_doubles(
            [self._detection(image8, enlarged(box, scale), score) for box, score in boxes]
        )
        if not describe:
            return found
        return [dataclasses.replace(d, descriptor=self.describe(image8, d.landmarks)) for d in found]

    def follow(self, image8: np.ndarray, landmarks: np.ndarray) -> Detection | None:
        image8, before = _checked(image8), square_of(landmarks)
        if not _inside(before, image8):
            return None
        near, matrix = steady.view(image8, before, face_px=_FOLLOW_FACE_PX, size_px=_FOLLOW_VIEW_PX)
        boxes = self._detector.boxes(np.rint(near).astype(np.uint8), 0, _FOLLOW_SCORE)
        expected = Square(((_FOLLOW_VIEW_PX - 1) / 2,) * 2, _FOLLOW_FACE_PX).box
        box, score = max(boxes, key=lambda b: overlap(b[0], expected), default=(None, 0.0))
        if box is None or overlap(box, expected) < 0.3:
            return None
        centre = steady.back(np.array([box[0] + box[2], box[1] + box[3]]) / 2, matrix)
        side = (box[2] - box[0]) * before.side / _FOLLOW_FACE_PX
        return self._fitted(image8, Square((float(centre[0]), float(centre[1])), side, before.roll), score)

    @property
    def sha256(self) -> dict[str, str]:
        return {_LANDMARKS: _digest(_LANDMARKS)}

    def describe(self, image8: np.ndarray, landmarks: np.ndarray) -> np.ndarray | None:
        return descriptor(image8, landmarks)

    def _detection(self, image8: np.ndarray, box: Box, score: float) -> Detection:
        return self._fitted(
            image8, Square(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), box[2] - box[0]), score
        )

    def _fitted(self, image8: np.ndarray, start: Square, score: float) -> Detection:
        landmarks = steady.fit(image8, start, self._predict)
        return Detection(box=square_of(landmarks).box, score=score, landmarks=landmarks)

    def _predict(self, grey8: np.ndarray, box: Box) -> np.ndarray:
        shape = self._predictor(grey8, self._dlib.rectangle(*(round(v) for v in box)))
        return np.array([(p.x, p.y) for p in shape.parts()], dtype=np.float64)


@cache
def _digest(name: str) -> str:
    return file_sha256(model_file(name))


def descriptor(image8: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(128,) float32 by dlib's face recognition network. The same person: less than 0.6 apart (Euclidean)."""
    dlib, image8 = _library(), _checked(image8)
    points = [dlib.point(round(float(x)), round(float(y))) for x, y in landmarks]
    xs, ys = landmarks.min(axis=0), landmarks.max(axis=0)
    rect = dlib.rectangle(int(xs[0]), int(xs[1]), int(ys[0]), int(ys[1]))
    shape = dlib.full_object_detection(rect, points)
    return np.array(_describer().compute_face_descriptor(image8, shape), dtype=np.float32)


def model_file(name: str) -> Path:
    """A weight file of the `face_recognition_models` package, which is located but never imported:
    importing it fails on new setuptools. Raises MissingPartError."""
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or spec.origin is None:
        raise MissingPartError("the package face_recognition_models is not installed", hint=_INSTALL)
    path = Path(spec.origin).parent / "models" / name
    if not path.is_file():
        raise MissingPartError("this weight file is not there", where=path, hint=_INSTALL)
    return path


@cache
def _describer() -> Any:
    return _library().face_recognition_model_v1(str(model_file(_DESCRIPTOR)))


def _library() -> Any:
    try:
        import dlib
    except ImportError as error:
        raise MissingPartError(f"dlib cannot be imported ({error})", hint=_INSTALL) from error
    return dlib


def _checked(image8: np.ndarray) -> np.ndarray:
    if image8.dtype != np.uint8 or image8.ndim != 3 or image8.shape[2] != 3:
        raise InternalError(f"a face finder got {image8.dtype} {image8.shape}; it takes (H, W, 3) uint8")
    return np.ascontiguousarray(image8)


def _inside(square: Square, image8: np.ndarray) -> bool:
    (x, y), (height, width) = square.centre, image8.shape[:2]
    return 0 <= x < width and 0 <= y < height and square.side > 8
