from __future__ import annotations

from pathlib import Path

import fileseq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stit_vfx.errors import FrameRangeError, PlateMissingError, PlateUnsupportedError
from stit_vfx.plate.sequence import Sequence, format_frames, parse_frames, parse_frames_openjd

numbers = st.integers(-3000, 3000)


@pytest.mark.parametrize(
    ("text", "frames"),
    [
        ("7", (7,)),
        ("1001-1004", (1001, 1002, 1003, 1004)),
        ("1001-1100x25", (1001, 1026, 1051, 1076)),
        ("1001,1005-1007", (1001, 1005, 1006, 1007)),
        (" 3, 1-2 ", (1, 2, 3)),
        ("-2-1", (-2, -1, 0, 1)),
        ("-5--3", (-5, -4, -3)),
        ("10-1x-4", (2, 6, 10)),
        ("1-10y3", (2, 3, 5, 6, 8, 9)),
        ("1-3,2-4", (1, 2, 3, 4)),
    ],
)
def test_ranges_mean_what_compositors_mean(text: str, frames: tuple[int, ...]) -> None:
    assert parse_frames(text) == frames


@pytest.mark.parametrize(
    "text", ["", " ", "1-", "-", "a", "1.5", "1-10/2", "1,,2", "1-2-3", "1-10x0", "1-10z2", "#", "１"]
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(FrameRangeError, match="STIT-E103"):
        parse_frames(text)


def test_colon_is_refused_with_both_its_meanings_in_mind() -> None:
    with pytest.raises(FrameRangeError, match=r"different things.*1001-1100x2"):
        parse_frames("1-10:2")


@pytest.mark.parametrize(
    "text", ["1-200000", "1-99999,200001-200002", "0-1000000000", "1-99999999999999999999"]
)
def test_ranges_larger_than_any_shot_are_refused_at_once(text: str) -> None:
    with pytest.raises(FrameRangeError):
        parse_frames(text)


@pytest.mark.parametrize(
    ("text", "frames"),
    [("1-10:4", (1, 5, 9)), ("10-1:-4", (2, 6, 10)), ("1 - 3, 7", (1, 2, 3, 7)), ("-4--2", (-4, -3, -2))],
)
def test_open_job_description_ranges_step_by_colon(text: str, frames: tuple[int, ...]) -> None:
    assert parse_frames_openjd(text) == frames


@pytest.mark.parametrize("text", ["10-1", "1-10:-1", "1-10:0", "1-10x2", ""])
def test_open_job_description_ranges_are_checked_as_its_specification_says(text: str) -> None:
    with pytest.raises(FrameRangeError):
        parse_frames_openjd(text)


@given(st.sets(numbers, min_size=1, max_size=60))
def test_formatted_frames_are_read_as_the_same_frames(frames: set[int]) -> None:
    text = format_frames(frames)
    assert parse_frames(text) == tuple(sorted(frames))
    assert format_frames(parse_frames(text)) == text


@given(numbers, st.integers(0, 400), st.sampled_from(["", "x2", "x7", "y3"]))
def test_ranges_agree_with_fileseq(start: int, length: int, step: str) -> None:
    text = f"{start}-{start + length}{step}"
    theirs = tuple(sorted(fileseq.FrameSet(text))) if length or "y" not in step else ()
    if theirs:
        assert parse_frames(text) == theirs


def test_no_frames_are_spelt_as_nothing() -> None:
    assert format_frames(()) == ""


# files ----------------------------------------------------------------------------------------------------


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(b"x")


@pytest.mark.parametrize("text", ["a.####.exr", "a.%04d.exr", "a.@@@@.exr", "a.$F4.exr", "a.1002.exr"])
def test_every_usual_spelling_finds_the_same_files(tmp_path: Path, text: str) -> None:
    touch(tmp_path, "a.1001.exr", "a.1002.exr", "a.1004.exr", "a.1003.exr.bak", "b.1005.exr", "a.10060.tif")
    found = Sequence.find(tmp_path / text)
    assert found == Sequence("a.%04d.exr", tmp_path, (1001, 1002, 1004))
    assert found.path(1003) == tmp_path / "a.1003.exr"
    assert found.missing() == (1003,)
    assert found.missing([1002, 1007]) == (1007,)


def test_four_hashes_are_four_digits_not_sixteen(tmp_path: Path) -> None:
    touch(tmp_path, "a.0007.exr", "a.0000000000000008.exr")
    assert Sequence.find(tmp_path / "a.####.exr").frames == (7,)


@pytest.mark.parametrize(
    ("names", "asked", "pattern", "frames"),
    [
        (("p_0998.exr", "p_0999.exr"), "p_0999.exr", "p_%04d.exr", (998, 999)),
        (("p.9.exr", "p.10.exr"), "p.10.exr", "p.%01d.exr", (9, 10)),
        (("p.9999.exr", "p.10000.exr"), "p.9999.exr", "p.%04d.exr", (9999, 10000)),
        (("p.-001.exr", "p.0001.exr"), "p.0001.exr", "p.%04d.exr", (-1, 1)),
        (("0001.exr", "0002.exr"), "0001.exr", "%04d.exr", (1, 2)),
        (("render0001.exr", "render0002.exr"), "render0002.exr", "render%04d.exr", (1, 2)),
        (("my plate v2.1001.exr",), "my plate v2.1001.exr", "my plate v2.%04d.exr", (1001,)),
        (("100%.1001.exr",), "100%.1001.exr", "100%%.%04d.exr", (1001,)),
    ],
)
def test_one_file_stands_for_its_sequence(
    tmp_path: Path, names: tuple[str, ...], asked: str, pattern: str, frames: tuple[int, ...]
) -> None:
    touch(tmp_path, *names)
    found = Sequence.find(tmp_path / asked)
    assert (found.pattern, found.frames) == (pattern, frames)
    assert found.path(frames[0]).exists()


@pytest.mark.parametrize("name", ["sh010.exr", "plate_v003.exr", "plate_V0003.exr", "still.exr", "a.b.exr"])
def test_names_and_versions_are_not_frame_numbers(tmp_path: Path, name: str) -> None:
    touch(tmp_path, name, "sh020.exr", "plate_v004.exr", "plate_V0004.exr")
    found = Sequence.find(tmp_path / name)
    assert (found.pattern, found.frames, found.path(1)) == (name, (1,), tmp_path / name)


def test_folder_stands_for_the_one_sequence_in_it(tmp_path: Path) -> None:
    touch(tmp_path, "a.1001.exr", "a.1002.exr", "notes.txt", ".tmp-host-1-ff.exr")
    assert Sequence.find(tmp_path).frames == (1001, 1002)
    touch(tmp_path, "b.1001.exr")
    with pytest.raises(PlateUnsupportedError, match=r"2 sequences: a\.%04d\.exr, b\.%04d\.exr"):
        Sequence.find(tmp_path)


def test_what_is_not_there_is_named_with_a_guess(tmp_path: Path) -> None:
    touch(tmp_path, "plate.1001.exr")
    with pytest.raises(PlateMissingError, match=r"plte\.####\.exr: no file.*Did you mean plate\.1001\.exr\?"):
        Sequence.find(tmp_path / "plte.####.exr")
    with pytest.raises(PlateMissingError, match="does not exist"):
        Sequence.find(tmp_path / "nowhere" / "a.exr")
    (tmp_path / "empty").mkdir()
    with pytest.raises(PlateMissingError, match="no pictures"):
        Sequence.find(tmp_path / "empty")


def test_frame_ranges_are_read_without_heavy_imports() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from stit_vfx.plate.sequence import parse_frames; parse_frames('1-3');"
        "print([name for name in ('torch', 'numpy', 'cv2', 'OpenEXR') if name in sys.modules])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
