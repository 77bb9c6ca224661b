"""Labels that landmarks give, and scales that rendered faces give."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from stit_vfx.face.detect import Detection
from stit_vfx.learning.learn import Wish, learn
from stit_vfx.learning.measures import MEASURES, find_landmarks, measured_target, sample_landmarks
from stit_vfx.learning.ruler import Ruler
from stit_vfx.learning.samples import Samples
from stit_vfx.packs.load import Pack


def turned(solid: np.ndarray, *, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """Landmarks (68, 2), y down, of a solid face (68, 3), x right, y down, z to the camera, after a turn."""
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    in_plane = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return 300 + 100 * (solid @ (in_plane @ about_x @ about_y).T)[:, :2]


@pytest.fixture
def solid(face: np.ndarray) -> np.ndarray:
    """The face with some depth: the nose tip stands out, ears lie back."""
    flat = (face - 0.5) * 3
    depth = 0.6 - 0.5 * (flat**2).sum(1)
    depth[30] += 0.35
    return np.column_stack([flat, depth])


def test_pose_grows_with_the_turn_and_with_no_other(solid: np.ndarray) -> None:
    turns = np.linspace(-0.3, 0.3, 7)
    for name in ("yaw", "pitch", "roll"):
        views = np.stack([turned(solid, **{name: turn}) for turn in turns])
        values = {each: MEASURES[each](views) for each in ("yaw", "pitch", "roll")}
        steps = np.diff(values[name]) * (-1 if name == "pitch" and values[name][-1] < values[name][0] else 1)
        assert (steps > 0).all()
        for other in {"yaw", "pitch", "roll"} - {name}:
            assert np.ptp(values[other]) < 0.35 * np.ptp(values[name]), (name, other)


def test_a_head_turned_to_the_right_of_the_picture_has_positive_yaw_and_one_that_looks_up_positive_pitch(
    solid: np.ndarray,
) -> None:
    assert MEASURES["yaw"](turned(solid, yaw=0.3)) > MEASURES["yaw"](turned(solid)) + 0.1
    assert MEASURES["pitch"](turned(solid, pitch=0.3)) > MEASURES["pitch"](turned(solid)) + 0.05
    assert MEASURES["roll"](turned(solid, roll=np.radians(10))) == pytest.approx(
        MEASURES["roll"](turned(solid)) + 10, abs=0.01
    )


def test_measures_do_not_depend_on_size_or_place(solid: np.ndarray) -> None:
    points = turned(solid, yaw=0.1)
    for measure in MEASURES.values():
        np.testing.assert_allclose(measure(2.5 * points + 40), measure(points), atol=1e-9)
    together = np.stack([points, points])
    for measure in MEASURES.values():
        np.testing.assert_allclose(measure(together), [measure(points)] * 2)


class Painted:
    """Reads an open mouth off the brightness of a picture's red: a finder with a known answer."""

    name, licence = "painted", "none"
    sha256: ClassVar = {"painted.dat": "0" * 64}

    def __init__(self, face: np.ndarray) -> None:
        self.face = face
        self.asked = 0

    def find(self, image8: np.ndarray, *, describe: bool = True) -> list[Detection]:
        self.asked += 1
        if min(image8.shape[:2]) < 256:
            return []
        points = self.face * image8.shape[0]
        points[[65, 66, 67]] += [0, image8[..., 0].mean() / 4]
        return [Detection(box=(0, 0, 1, 1), score=1.0, landmarks=points)]


def test_small_pictures_are_enlarged_for_the_finder_and_landmarks_come_back_in_their_pixels(
    face: np.ndarray,
) -> None:
    finder = Painted(face)
    found = find_landmarks(np.zeros((32, 32, 3), np.uint8), finder)
    np.testing.assert_allclose(found, (face * 256 + 0.5) / 8 - 0.5)


def test_faces_are_looked_for_once(samples: Samples, face: np.ndarray) -> None:
    finder = Painted(face)
    (samples.folder / "landmarks.safetensors").unlink(missing_ok=True)
    one = sample_landmarks(samples, finder)
    assert finder.asked == len(samples.files)
    assert np.array_equal(sample_landmarks(samples, finder), one)
    assert finder.asked == len(samples.files)
    other = Painted(face)
    other.name = "another"
    sample_landmarks(samples, other)
    assert other.asked == len(samples.files)


def test_strength_1_moves_what_is_measured_on_rendered_faces(
    pack: Pack, samples: Samples, face: np.ndarray, tmp_path: Path
) -> None:
    finder: Any = Painted(face)
    target = measured_target(samples, "mouth_open", finder)
    assert target.source == "measured"
    assert target.kind == "numeric"
    ruler = Ruler(pack.model, samples.ws, sample_landmarks(samples, finder), finder)
    wish = Wish(name="own", deviations=1.0)
    found = learn(pack, samples, target, wish, ruler=ruler)
    moved = found.measured["moved_sd_when_rendered"]
    assert moved["mouth_open"] == pytest.approx(1.0, abs=0.25)
    # Nothing else of this face ever moves.
    assert all(value == 0 for name, value in moved.items() if name not in ("mouth_open", "smile"))
    from stit_vfx.learning.drawing import as_8bit
    from stit_vfx.learning.ruler import render

    def red(strength: float) -> float:
        pictures = [as_8bit(render(pack.model, ws, found.direction, strength)) for ws in samples.ws[::20]]
        return float(np.mean([picture[..., 0].mean() for picture in pictures]))

    spread = np.std([samples.picture8(n)[..., 0].mean() for n in range(len(samples.files))])
    assert (red(1) - red(-1)) / 2 / spread == pytest.approx(1.0, abs=0.3)


def test_faces_that_are_not_found_are_left_out(samples: Samples, pack: Pack) -> None:
    class Blind(Painted):
        name = "blind"

        def find(self, image8: np.ndarray, *, describe: bool = True) -> list[Detection]:
            return []

    from stit_vfx.errors import JobFieldError

    target = measured_target(samples, "smile", Blind(np.zeros((68, 2))))
    assert not target.known.any()
    with pytest.raises(JobFieldError, match="0 samples have a number"):
        learn(pack, samples, target, Wish(name="own"))
