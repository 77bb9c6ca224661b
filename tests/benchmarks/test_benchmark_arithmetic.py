"""The benchmark's own sums, on pictures and landmarks whose answer is known."""

from __future__ import annotations

from typing import Any

import cv2
import numbers_of as measure
import numpy as np
import pack_quality
import pytest
import report
import seen
from cooking import QUICK
from faces import portrait
from pack_quality import Bench, Station, Work, measure_share, worker_share
from sheets import difference8, face_window, mouth_window, sheet


def grain(seed: int = 0) -> np.ndarray:
    """(1, 96, 96, 3) code: grey with fine grain."""
    return (0.5 + 0.02 * np.random.default_rng(seed).standard_normal((1, 96, 96, 3))).astype(np.float32)


def face() -> np.ndarray:
    """(1, 68, 2) px: eyes 100 px apart, jaw points 4 and 12 160 px apart, a mouth 80 px wide."""
    points = np.zeros((1, 68, 2))
    points[0, 36:42], points[0, 42:48] = (100, 100), (200, 100)
    points[0, 4], points[0, 12] = (70, 180), (230, 180)
    points[0, 48:68] = (150, 190)
    points[0, 48], points[0, 54] = (110, 190), (190, 190)
    points[0, 8] = (150, 250)
    return points


def result(shot: str, direction: str, strength: float, **changes: Any) -> dict[str, Any]:
    """A measurement as the benchmark keeps it, of a clip."""
    numbers: dict[str, Any] = {
        "shot": shot,
        "direction": direction,
        "strength": strength,
        "change": {"mouth_width": 0.05, "corner_lift": 0.0, "jaw_width": 0.0},
        "identity": {"distance": 0.2},
        "steadiness": 1.0,
        "detail": 1.0,
        "shape": {"mouth_width": 1.0, "corner_lift": 0.0},
    }
    return numbers | changes


def test_the_jaw_is_measured_in_eye_distances():
    assert measure.jaw_width(face()) == pytest.approx([1.6])


def test_a_wider_mouth_is_all_that_moved():
    after = face()
    after[0, 48, 0], after[0, 54, 0] = 105, 195
    change = measure.moved(face(), after)
    assert change["mouth_width"] == pytest.approx(0.1)
    assert change["jaw_width"] == change["brow_height"] == 0


def test_leakage_is_what_an_edit_is_not_for():
    change = {"eye_opening": -0.2, "mouth_width": -0.03, "jaw_width": 0.01}
    assert measure.leakage("eyes_closed", change) == pytest.approx(0.03)
    assert measure.leakage("a direction of one's own", change) is None


def test_detail_is_one_for_the_plate_itself_and_two_for_grain_twice_as_strong():
    plate, matte = grain(), np.ones((1, 96, 96), np.float32)
    assert measure.detail(plate, plate, matte) == 1
    assert measure.detail(plate, 0.5 + 2 * (plate - 0.5), matte) == pytest.approx(2, rel=1e-3)
    assert measure.detail(plate, cv2.GaussianBlur(plate[0], (0, 0), 1.5)[None], matte) < 0.3


def test_detail_outside_the_matte_does_not_count():
    plate, matte = grain(), np.zeros((1, 96, 96), np.float32)
    matte[:, :, :48] = 1
    edit = plate.copy()
    edit[:, :, 60:] = 0.5
    assert measure.detail(plate, edit, matte) == 1


def test_psnr_of_a_tenth_is_twenty_decibels():
    a = np.full((8, 8, 3), 0.4)
    mask = np.zeros((8, 8), bool)
    mask[:4] = True
    b = a + np.where(mask, 0.1, 0.3)[..., None]
    assert measure.psnr(b, a, mask) == pytest.approx(20)
    assert measure.psnr(b, a) == pytest.approx(-10 * np.log10((0.01 + 0.09) / 2))


def test_unlikeness_follows_structure_and_hardly_brightness():
    picture = cv2.GaussianBlur(np.random.default_rng(1).random((64, 64, 3)), (0, 0), 2)
    assert measure.unlikeness(picture, picture) == pytest.approx(0, abs=1e-9)
    assert measure.unlikeness(picture + 0.02, picture) < 0.02 < measure.unlikeness(picture[::-1], picture)


def test_monotonic_allows_the_landmarks_noise_only():
    assert measure.monotonic([-0.2, -0.1, 0, -0.005, 0.3])
    assert measure.monotonic([0.3, 0.1, 0, -0.1])
    assert not measure.monotonic([-0.2, 0, 0.2, 0.15])


def test_a_smile_that_does_not_widen_the_mouth_breaks_the_promise():
    wide, same = (
        result("astronaut", "smile", 0.8, change={"mouth_width": w, "corner_lift": 0, "jaw_width": 0})
        for w in (0.03, 0.01)
    )
    assert [ok for text, _, ok in report.must_show([wide], []) if "smile" in text] == [True]
    assert [ok for text, _, ok in report.must_show([same], []) if "smile" in text] == [False]


def test_a_trembling_or_blurred_clip_breaks_the_promise():
    good, bad = result("a", "age", 0.6), result("b", "age", -0.6, steadiness=1.7, detail=0.8)
    assert all(ok for _, _, ok in report.must_show([good], []))
    broken = [text for text, _, ok in report.must_show([good, bad], []) if not ok]
    assert len(broken) == 2


def test_a_still_keeps_no_promise_of_a_clip():
    promises = report.must_show([result("astronaut", "smile", 0.8, steadiness=None)], [])
    assert [text.partition(":")[0] for text, _, _ in promises] == [
        "every edit at strength 0.8",
        "every edit follows its strength",
    ]


def test_a_smile_that_turns_back_does_not_follow_its_strength():
    lifts = {-0.8: -0.1, 0.4: 0.08, 0.8: 0.02}
    stills = [
        result("a", "smile", s, steadiness=None, change={"corner_lift": lift}) for s, lift in lifts.items()
    ]
    assert [line.partition(":")[0] for line in report.not_monotonic(stills)] == ["a smile"]
    assert not list(report.not_monotonic(stills[:2]))


@pytest.mark.parametrize(("read", "said"), [((-0.03, -0.06), "it follows"), ((-0.06, -0.03), "neither")])
def test_a_second_opinion_is_told_and_does_not_overrule_the_first(read: tuple[float, float], said: str):
    stills = [
        result("a", "eyes_closed", s, steadiness=None, change={"eye_opening": v})
        | {"change_by_reader": {"eye_opening": r}}
        for s, v, r in ((0.4, -0.05, read[0]), (0.8, 0.02, read[1]))
    ]
    (line,) = report.not_monotonic(stills)
    assert line.startswith("a eyes_closed:")
    assert f"by the engine's reader {said}" in line
    followed = [ok for text, _, ok in report.must_show(stills, []) if "follows its strength" in text]
    assert followed == [False]


def test_an_edit_that_moves_no_landmark_is_measured_by_its_picture():
    ages = [result("a", "age", s, steadiness=None, effect=e) for s, e in ((-0.8, 0.02), (0.4, 0.03))]
    assert not list(report.not_monotonic(ages))
    ages.append(result("a", "age", 0.8, steadiness=None, effect=0.01))
    assert list(report.not_monotonic(ages))


def test_the_effect_is_the_mean_change_inside_the_matte():
    plate, matte = grain(), np.zeros((1, 96, 96), np.float32)
    matte[:, :48] = 1
    assert measure.effect(plate, plate + 0.1 * matte[..., None] + 0.5 * (1 - matte[..., None]), matte) == (
        pytest.approx(0.1, abs=1e-6)
    )


def test_strengths_stay_in_a_directions_range():
    assert all(s > 0 for s in pack_quality.strengths_of((0.0, 1.0)))
    assert min(pack_quality.strengths_of((-1.0, 1.0))) < 0


def crop(size: int = 128) -> np.ndarray:
    """(size, size, 3) code: the astronaut's face."""
    from skimage import data

    face = data.astronaut()[10:210, 125:325].astype(np.float32) / 255
    return cv2.resize(face, (size, size), interpolation=cv2.INTER_AREA)


def test_equal_pictures_look_equal_and_the_distance_has_no_direction():
    a, b = crop(), cv2.GaussianBlur(crop(), (0, 0), 2)
    assert seen.distance(a, a) == 0
    assert seen.distance(a, b) > 0.01
    assert seen.distance(a, b) == pytest.approx(seen.distance(b, a), rel=1e-5)


@pytest.mark.parametrize("size", [128, 256])
def test_pictures_look_more_different_the_more_they_are_blurred_noisy_or_displaced(size):
    face, noise = crop(size), np.random.default_rng(3).standard_normal((size, size, 3)).astype(np.float32)
    scale = size / 128
    worse = {
        "blur": [cv2.GaussianBlur(face, (0, 0), sigma * scale) for sigma in (0.5, 1, 2, 4)],
        "noise": [face + sigma * scale * noise for sigma in (0.01, 0.03, 0.1)],
        "displacement": [np.roll(face, round(px * scale), axis=1) for px in (1, 2, 4, 8)],
    }
    for kind, pictures in worse.items():
        distances = [seen.distance(each, face) for each in pictures]
        assert distances == sorted(distances), kind
        assert distances[0] > 0.001, kind
        assert distances[-1] < 2


def test_a_blur_looks_worse_than_a_change_of_light_of_the_same_error():
    """What PSNR cannot tell: both are as far from the picture, and only one of them spoils the face."""
    face = crop()
    blurred = cv2.GaussianBlur(face, (0, 0), 2)
    lighter = np.clip(face + np.sqrt(((blurred - face) ** 2).mean()), 0, None) * 1.0
    assert measure.psnr(lighter, face) > measure.psnr(blurred, face) - 1
    assert seen.distance(lighter, face) < 0.5 * seen.distance(blurred, face)


def test_the_table_of_stills_tells_median_and_worst_and_where():
    stills = [
        result(
            shot,
            "smile",
            0.8,
            steadiness=None,
            effect=0.02,
            leakage=leak,
            identity={"distance": far},
            detail=sharp,
            change={"corner_lift": lift},
        )
        for shot, lift, far, leak, sharp in (
            ("a", 0.1, 0.2, 0.01, 0.98),
            ("b", 0.04, 0.3, 0.05, 1.01),
            ("c", 0.05, 0.1, 0.02, 1.0),
        )
    ]
    row = next(line for line in report.table_of(stills, [], []).splitlines() if "smile +0.8" in line)
    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        "smile +0.8",
        "3",
        "corner lift",
        "+0.050 (+0.040 to +0.100)",
        "0.020",
        "0.20, 0.30 (b)",
        "0.020, 0.050 (b)",
        "0.98 to 1.01",
    ]


def test_without_a_strength_of_eight_tenths_the_table_takes_the_strongest():
    stills = [
        result("a", "age", s, steadiness=None, effect=abs(s), leakage=None) for s in (-1.0, -0.4, 0.4, 0.8, 1)
    ]
    rows = [line for line in report.table_of(stills, [], []).splitlines() if line.startswith("| age")]
    assert [row.split("|")[1].strip() for row in rows] == ["age -1.0", "age +0.8"]


def plan_of(bench: Bench, names: str, made: list[str]) -> list[tuple[Station, list[Work]]]:
    """A shot per letter, each with a reconstruction and two stills that only note that they were made."""

    def work(name: str) -> Work:
        return Work(name, lambda: (made.append(name), ({"name": name}, {"picture": np.zeros(1)}))[1])

    def never() -> Any:
        raise AssertionError("no shot is needed")

    stations = [Station(bench, name, never) for name in names]
    return [(s, [work(s.reconstruction().name), work(f"{s.name}_1"), work(f"{s.name}_2")]) for s in stations]


def test_workers_make_everything_once_and_a_resumed_run_nothing(tmp_path):
    bench, made = Bench(tmp_path, "builtin", QUICK), []
    plan = plan_of(bench, "abc", made)
    for share in ("0/2", "1/2"):
        measure_share(bench, plan, *worker_share(share))
    assert sorted(made) == sorted(work.name for _, works in plan for work in works)
    made.clear()
    measure_share(bench, plan, 0, 1)
    assert made == []
    assert set(bench.pictures("a_1") or {}) == {"picture"}
    assert bench.pictures("a_3") is None


def test_a_worker_helps_with_shots_that_are_tuned_and_begins_at_their_end(tmp_path):
    bench, made = Bench(tmp_path, "builtin", QUICK), []
    plan = plan_of(bench, "abc", made)
    bench.keep("b_reconstruction", {}, {})
    measure_share(bench, plan, 0, 3)
    assert made == ["a_reconstruction", "a_1", "a_2", "b_2", "b_1"]


def test_equal_frames_differ_by_grey():
    same = difference8(grain()[0], grain()[0])
    assert (same == 128).all()


def test_windows_hold_the_landmarks_they_are_for():
    points = face()[0]
    rows, columns = face_window(points, (400, 400))
    assert rows.start < 100 < 190 < rows.stop
    assert columns.start < 100 < 200 < columns.stop
    rows, columns = mouth_window(points)
    assert columns.start < 110 < 190 < columns.stop
    assert rows.start < 190 < rows.stop


def test_a_sheet_takes_tiles_of_different_size(tmp_path):
    tiles = [np.full((h, w, 3), 90, np.uint8) for h, w in ((20, 30), (40, 10))]
    path = sheet([tiles, tiles[:1]], tmp_path / "deep" / "sheet.png")
    assert cv2.imread(str(path)).shape == (40 + 4 + 20 + 4, 30 + 4 + 10 + 4, 3)


def test_another_picture_under_a_known_name_is_refused(tmp_path):
    (tmp_path / "closed.jpg").write_bytes(b"not that portrait")
    with pytest.raises(RuntimeError, match="not the picture"):
        portrait("closed", tmp_path)
