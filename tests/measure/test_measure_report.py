import dataclasses
import json
from typing import ClassVar

import numpy as np
import pytest

from stit_vfx.face.detect import Detection, square_of
from stit_vfx.measure.plate_safety import PlateSafety
from stit_vfx.measure.report import Pair, report

SAFE = PlateSafety(outside=9, inside=1, changed_outside=0, changed_inside=1, other_changed=0)


class ScriptedFinder:
    """The face that pixel (0, 0) names: red moves it right, green widens its mouth, blue 255 hides it."""

    name, licence = "scripted", "none"
    sha256: ClassVar = {"painted.dat": "0" * 64}

    def __init__(self, landmarks):
        self._landmarks = landmarks

    def find(self, image8, *, describe=True):
        right, wider, hidden = (int(v) for v in image8[0, 0])
        if hidden:
            return []
        points = np.add(self._landmarks, [right, 0])
        points[54, 0] += wider
        return [Detection(box=square_of(points).box, score=1.0, landmarks=points)]

    def follow(self, image8, landmarks):
        found = self.find(image8)
        return found[0] if found else None

    def describe(self, image8, landmarks):
        return np.array([1.0, float(image8[0, 0, 1])])


def _picture(right=0, wider=0, hidden=0):
    return np.full((4, 4, 3), (right, wider, hidden), np.uint8)


def _pair(frame, *, wider=0, hidden=0, safety=SAFE, right=0):
    return Pair(frame=frame, source8=_picture(right), edit8=_picture(right, wider, hidden), safety=safety)


@pytest.fixture
def finder(landmarks):
    return ScriptedFinder(landmarks)


def test_report_gathers_every_measure(finder, landmarks):
    eyes = np.linalg.norm(landmarks[42:48].mean(axis=0) - landmarks[36:42].mean(axis=0))
    before, after = landmarks[54] - landmarks[48], landmarks[54] + [4, 0] - landmarks[48]
    told = report((_pair(1001 + n, wider=4, right=2 * n) for n in range(5)), finder)
    assert (told.frames, told.measured, told.checked, told.unsafe) == (5, 5, 5, ())
    assert told.tl_id == pytest.approx(1)
    assert told.tg_id == pytest.approx(1)
    assert told.descriptor_distance == 4
    assert told.source_jitter == told.edit_jitter == pytest.approx(0, abs=1e-9)
    wider = (np.linalg.norm(after) - np.linalg.norm(before)) / eyes
    assert told.strength["mouth_width"] == pytest.approx(wider)


def test_frames_without_the_face_are_left_out(finder):
    pairs = [_pair(1001 + n, hidden=255 if n == 2 else 0) for n in range(6)]
    told = report(pairs, finder)
    assert (told.frames, told.measured) == (6, 5)


def test_frames_that_touched_the_plate_are_listed(finder):
    broken = dataclasses.replace(SAFE, changed_outside=3)
    pairs = [_pair(1001), _pair(1002, safety=broken), _pair(1003, safety=None)]
    told = report(pairs, finder)
    assert told.unsafe == (1002,)
    assert told.checked == 2


def test_shot_without_faces_has_no_numbers_and_is_json(finder):
    told = report([_pair(1001, hidden=255)], finder)
    assert told.measured == 0
    assert told.tl_id is None
    again = json.loads(told.to_json())
    assert again["schema"] == "stit.measure/1"
    assert again["strength"] == {}


def test_infinite_ratio_becomes_null_in_json(finder):
    pairs = [_pair(1001 + n, wider=4 * (n == 1)) for n in range(4)]
    told = report(pairs, finder)
    assert told.jitter_ratio == float("inf")
    assert json.loads(told.to_json())["jitter_ratio"] is None


def test_other_embedding_may_be_given(finder):
    told = report([_pair(1001), _pair(1002)], finder, embed=lambda image8, points: np.array([1.0, 0, 0]))
    assert told.tl_id == 1
    assert told.descriptor_distance == 0
