"""Reading EXR: everything comes in as it is, and what cannot be read says so."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import OpenEXR
import OpenImageIO as oiio
import pytest
from plates import bits, nasty_half, patched, plain_channels, rgb, window, with_attribute, write, write_parts

from stit_vfx.errors import PlateDamagedError, PlateMissingError, PlateSizeError, PlateUnsupportedError
from stit_vfx.plate.exr import read_exr, read_header

KINDS = ("rich", "overscan", "tiled", "stereo", "uncompressed", "piz", "multipart", "prefixed")


def oiio_channels(path: Path) -> dict[tuple[int, str], np.ndarray]:
    """Pixels by subimage and channel, read by another library one channel at a time."""
    opened = oiio.ImageInput.open(str(path))
    found, part = {}, 0
    while opened.seek_subimage(part, 0):
        spec = opened.spec()
        for number, name in enumerate(spec.channelnames):
            kind = spec.channelformat(number)
            pixels = opened.read_image(part, 0, number, number + 1, kind)
            found[part, name] = pixels.reshape(spec.height, spec.width)
        part += 1
    opened.close()
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_channel_of_every_part_has_the_bits_that_another_library_reads(
    nasty: dict[str, Path], kind: str
) -> None:
    theirs = oiio_channels(nasty[kind])
    frame = read_exr(nasty[kind], 1001)
    ours = {
        (n, name.lower()): each for n, part in enumerate(frame.parts) for name, each in part.channels.items()
    }
    assert len(ours) == len(theirs)
    for (part, name), pixels in theirs.items():
        plain = name.lower().removeprefix(frame.parts[part].name.lower() + ".")
        mine = ours.get((part, name.lower()), ours.get((part, plain)))
        assert mine is not None
        assert mine.dtype == pixels.dtype
        assert (bits(mine) == bits(pixels)).all(), name


@pytest.mark.parametrize("kind", KINDS)
def test_header_alone_tells_windows_types_and_channels(nasty: dict[str, Path], kind: str) -> None:
    head, frame = read_header(nasty[kind]), read_exr(nasty[kind])
    assert (head.shape, head.data_window, head.display_window) == (
        frame.shape,
        frame.data_window,
        frame.display_window,
    )
    assert {name: each.dtype for name, each in head.channels.items()} == {
        name: each.dtype for name, each in frame.channels.items()
    }
    assert head.rgb_names == frame.rgb_names


def test_windows_are_told_apart(nasty: dict[str, Path]) -> None:
    frame = read_exr(nasty["overscan"])
    assert frame.data_window == (-5, -3, 44, 36)
    assert frame.display_window == (0, 0, 39, 33)
    assert frame.shape == (40, 50)


def test_part_with_rgb_is_the_one_that_is_edited(nasty: dict[str, Path]) -> None:
    frame = read_exr(nasty["multipart"])
    assert frame.rgb_place == (1, ("R", "G", "B"))
    assert frame.shape == (40, 50)


def test_stereo_edits_the_first_view(nasty: dict[str, Path]) -> None:
    assert read_exr(nasty["stereo"]).rgb_names == ("R", "G", "B")


@pytest.mark.parametrize("layer", ["rgba", "rgb", "Beauty", "ViewLayer.Combined"])
def test_rgb_may_have_a_layer_name(tmp_path: Path, layer: str) -> None:
    channels = {f"{layer}.{name}": each for name, each in rgb(4, 5).items()}
    normals = {f"normal.{name}": each for name, each in rgb(4, 5).items()}
    path = write(tmp_path / "a.exr", channels | normals)
    assert read_exr(path).rgb_names == (f"{layer}.R", f"{layer}.G", f"{layer}.B")


def test_plate_without_rgb_names_what_it_has(tmp_path: Path) -> None:
    frame = read_exr(write(tmp_path / "a.exr", {"Y": rgb(4, 5)["R"]}), 7)
    with pytest.raises(PlateUnsupportedError, match=r"a\.exr, frame 7: no R, G, B.*channels are Y"):
        frame.rgb()
    assert frame.grey().shape == (4, 5)


def test_whole_numbers_in_rgb_are_refused(tmp_path: Path) -> None:
    whole = {name: np.zeros((4, 5), np.uint32) for name in "RGB"}
    with pytest.raises(PlateUnsupportedError, match="whole numbers"):
        read_exr(write(tmp_path / "a.exr", whole)).rgb()


def test_a_region_of_rgb_is_that_region(nasty: dict[str, Path]) -> None:
    frame = read_exr(nasty["rich"])
    assert np.array_equal(frame.rgb((7, 3, 20, 9)), frame.rgb()[3:9, 7:20], equal_nan=True)


# what cannot be read --------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.001, 0.02, 0.5, 0.99, 0.9999])
@pytest.mark.parametrize("kind", ["rich", "uncompressed", "tiled", "multipart"])
def test_file_that_was_cut_short_is_damaged_whatever_is_missing(
    nasty: dict[str, Path], tmp_path: Path, kind: str, share: float
) -> None:
    data = nasty[kind].read_bytes()
    path = tmp_path / "plate.1003.exr"
    path.write_bytes(data[: int(len(data) * share)])
    for read in (read_exr, read_header):
        with pytest.raises(PlateDamagedError, match=r"plate\.1003\.exr, frame 1003: .*STIT-E302"):
            read(path, 1003)


def test_empty_missing_and_foreign_files_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.exr"
    with pytest.raises(PlateMissingError):
        read_exr(path)
    path.write_bytes(b"")
    with pytest.raises(PlateDamagedError, match="empty"):
        read_exr(path)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" * 9)
    with pytest.raises(PlateDamagedError, match="not an EXR"):
        read_exr(path)


def test_trap_3_part_that_does_not_decompress_is_not_dropped_in_silence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_parts(tmp_path / "a.exr", {name: ({}, rgb(64, 64, seed=n)) for n, name in enumerate("abc")})
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = bytes(200)
    path.write_bytes(data)
    with OpenEXR.File(str(path)) as file:
        assert len(file.parts) < 3
    capfd.readouterr()
    with pytest.raises(PlateDamagedError, match="1 of 3 parts do not decompress"):
        read_exr(path, 1)
    said = capfd.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err


def test_trap_8_deep_pixels_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "deep.exr"
    spec = oiio.ImageSpec(4, 3, 5, "float")
    spec.channelnames = ("R", "G", "B", "A", "Z")
    spec.deep = True
    deep = oiio.DeepData()
    deep.init(12, 5, (oiio.TypeDesc("float"),) * 5, spec.channelnames)
    output = oiio.ImageOutput.create(str(path))
    assert output.open(str(path), spec)
    assert output.write_deep_image(deep)
    output.close()
    with pytest.raises(PlateUnsupportedError, match="deep"):
        read_exr(path, 1)


def test_subsampled_channels_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.exr", {"BY": rgb(4, 4)["R"], "Y": rgb(4, 4)["G"]})
    old = b"BY\0" + struct.pack("<iB3x2i", 1, 0, 1, 1)
    new = b"BY\0" + struct.pack("<iB3x2i", 1, 0, 2, 2)
    with pytest.raises(PlateUnsupportedError, match="BY"):
        read_exr(patched(path, old, new, to="b.exr"))


def test_header_that_claims_a_huge_picture_is_refused_before_memory_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(
        tmp_path / "a.exr", rgb(4, 6), dataWindow=window(0, 0, 6, 4), displayWindow=window(0, 0, 8, 8)
    )
    bomb = patched(path, struct.pack("<4i", 0, 0, 5, 3), struct.pack("<4i", 0, 0, 59999, 59999), to="b.exr")
    with pytest.raises(PlateSizeError, match="60000x60000"):
        read_exr(bomb, 1)
    monkeypatch.setenv("STIT_MAX_PIXELS", "23")
    with pytest.raises(PlateSizeError, match="6x4"):
        read_exr(path, 1)
    monkeypatch.setenv("STIT_MAX_PIXELS", "24")
    assert read_exr(path, 1).shape == (4, 6)


def test_more_channels_than_any_plate_has_are_refused(tmp_path: Path) -> None:
    many = {f"c{n}": np.zeros((2, 2), np.float16) for n in range(129)}
    with pytest.raises(PlateUnsupportedError, match="129 channels"):
        read_exr(write(tmp_path / "a.exr", many))
    many.pop("c0")
    assert len(read_exr(write(tmp_path / "b.exr", many)).channels) == 128


# headers that the library cannot open ---------------------------------------------------------------------


def test_latin_1_text_in_a_header_is_read_and_named_as_lost(tmp_path: Path) -> None:
    path = write(tmp_path / "a.exr", plain_channels(40, 50), owner="Zo\u00ebs plate")
    latin = patched(path, "Zo\u00ebs".encode(), b"Zo\xeb s", to="latin.exr")
    with pytest.raises(UnicodeDecodeError):
        OpenEXR.File(str(latin))
    frame = read_exr(latin)
    assert frame.header["owner"] == "Zo\u00eb s plate"
    assert frame.lost == ("owner: its text was Latin-1 and is written as UTF-8",)
    assert all(
        (bits(each) == bits(read_exr(path).channels[name])).all() for name, each in frame.channels.items()
    )


def test_fraction_over_zero_does_not_stop_the_plate(tmp_path: Path) -> None:
    from fractions import Fraction

    path = write(tmp_path / "a.exr", rgb(4, 6), framesPerSecond=Fraction(24000, 1001))
    odd = patched(path, struct.pack("<iI", 24000, 1001), struct.pack("<iI", 24000, 0), to="b.exr")
    frame = read_exr(odd)
    assert frame.lost == ("framesPerSecond: a fraction over zero",)
    assert "framesPerSecond" not in frame.header


@pytest.mark.parametrize(("kind", "value"), [("studioThing", b"\1\2\3"), ("deepImageState", b"\1")])
def test_attribute_of_an_unknown_type_is_kept_or_named(tmp_path: Path, kind: str, value: bytes) -> None:
    from stit_vfx.plate.exr import write_exr

    path = write(tmp_path / "a.exr", rgb(4, 6))
    odd = with_attribute(path, "odd", kind, value, to="b.exr", chunks=1)
    frame = read_exr(odd)
    copy = tmp_path / "copy.exr"
    write_exr(copy, frame)
    kept = b"odd\0" + kind.encode() + b"\0" in copy.read_bytes()
    assert kept != any(line.startswith("odd") for line in frame.lost)
    assert (bits(frame.channels["R"]) == bits(read_exr(path).channels["R"])).all()


def test_trap_12_fingerprints_see_what_readers_cannot(tmp_path: Path) -> None:
    from stit_vfx.cache import file_sha256

    path = write(tmp_path / "a.exr", {"R": nasty_half(8, 8)}, compression=OpenEXR.NO_COMPRESSION)
    before = file_sha256(path)
    data = bytearray(path.read_bytes())
    data[-3] ^= 0xFF
    path.write_bytes(data)
    read_exr(path)
    assert file_sha256(path) != before


def test_files_with_changed_bytes_are_read_or_refused_but_never_crash(
    nasty: dict[str, Path], tmp_path: Path
) -> None:
    from stit_vfx.errors import StitError

    rng = np.random.default_rng(7)
    path = tmp_path / "a.exr"
    outcomes = set()
    for number in range(240):
        data = bytearray(nasty[KINDS[number % len(KINDS)]].read_bytes())
        reach = len(data) if number % 3 else 700
        for place in rng.integers(0, reach, rng.integers(1, 6)):
            data[place] = rng.integers(0, 256)
        path.write_bytes(data)
        try:
            outcomes.add(read_exr(path, 1).frame)
        except StitError as error:
            outcomes.add(error.code)
    assert {1, "STIT-E302", "STIT-E303"} <= outcomes
