"""Writing EXR: every bit that was not edited stays, and a file is whole or not there."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import OpenEXR
import OpenImageIO as oiio
import pytest
from plates import bits, frame_of, plain_channels, rgb, tiles, window, write

from stit_vfx.errors import DiskFullError, PlateWriteError, ReadOnlyError, StorageError
from stit_vfx.plate.exr import COMPRESSIONS, Frame, Part, read_exr, write_exr, write_matte

KINDS = ("rich", "overscan", "tiled", "stereo", "uncompressed", "piz", "multipart", "prefixed")
SHARED_MAY_DIFFER = {"compression", "name"}


def headers(path: Path) -> list[dict[str, str]]:
    with OpenEXR.File(str(path), header_only=True) as file:
        return [{name: repr(value) for name, value in part.header.items()} for part in file.parts]


def same_pixels(one: Frame, other: Frame) -> bool:
    return one.channels.keys() == other.channels.keys() and all(
        (bits(pixels) == bits(other.channels[name])).all() for name, pixels in one.channels.items()
    )


@pytest.mark.parametrize("kind", KINDS)
def test_rewritten_plate_has_the_same_bits_and_header(
    nasty: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    copy = tmp_path / "copy.exr"
    frame = read_exr(nasty[kind], 1001)
    write_exr(copy, frame)
    assert same_pixels(frame, read_exr(copy))
    assert headers(copy) == headers(nasty[kind])


@pytest.mark.parametrize("compression", [each for each in COMPRESSIONS if each != "auto"])
def test_every_compression_that_is_offered_keeps_every_bit(
    nasty: dict[str, Path], tmp_path: Path, compression: str
) -> None:
    frame = read_exr(nasty["rich"])
    write_exr(tmp_path / "copy.exr", frame, compression=compression)
    copy = read_exr(tmp_path / "copy.exr")
    assert same_pixels(frame, copy)
    assert (
        copy.header["compression"].name
        == f"{'NO' if compression == 'none' else compression.upper()}_COMPRESSION"
    )


@pytest.mark.parametrize("codec", ["DWAA", "DWAB", "B44", "B44A"])
def test_lossy_source_is_written_lossless(tmp_path: Path, codec: str) -> None:
    path = write(tmp_path / "a.exr", rgb(64, 64), compression=getattr(OpenEXR, f"{codec}_COMPRESSION"))
    frame = read_exr(path)
    assert frame.lossy
    write_exr(tmp_path / "b.exr", frame)
    copy = read_exr(tmp_path / "b.exr")
    assert copy.header["compression"] == OpenEXR.ZIP_COMPRESSION
    assert not copy.lossy
    assert same_pixels(frame, copy)


@pytest.mark.parametrize("codec", ["PIZ", "ZIPS", "RLE", "PXR24", "HTJ2K32", "NO"])
def test_source_that_is_not_lossy_keeps_its_compression(tmp_path: Path, codec: str) -> None:
    path = write(tmp_path / "a.exr", rgb(40, 40), compression=getattr(OpenEXR, f"{codec}_COMPRESSION"))
    write_exr(tmp_path / "b.exr", read_exr(path))
    copy = read_exr(tmp_path / "b.exr")
    assert copy.header["compression"].name == f"{codec}_COMPRESSION"
    assert same_pixels(read_exr(path), copy)


# the library's traps --------------------------------------------------------------------------------------


def test_trap_1_slices_of_a_picture_are_written_as_they_look(tmp_path: Path) -> None:
    picture = np.random.default_rng(1).random((6, 7, 3)).astype(np.float16)
    header = {"dataWindow": window(0, 0, 7, 6), "displayWindow": window(0, 0, 7, 6)}
    views = {name: picture[..., i] for i, name in enumerate("RGB")}
    assert not views["G"].flags.c_contiguous
    write_exr(tmp_path / "a.exr", Frame(None, None, (Part("", header, views),)))
    assert np.array_equal(read_exr(tmp_path / "a.exr").rgb(), picture.astype(np.float32))


def test_trap_4_frames_are_not_changed_by_being_written(nasty: dict[str, Path], tmp_path: Path) -> None:
    frame = read_exr(nasty["multipart"])
    header, names = dict(frame.header), sorted(frame.channels)
    for n in range(2):
        write_exr(tmp_path / f"{n}.exr", frame)
    assert (tmp_path / "0.exr").read_bytes() == (tmp_path / "1.exr").read_bytes()
    assert {name: repr(value) for name, value in frame.header.items()} == {
        name: repr(value) for name, value in header.items()
    }
    assert sorted(frame.channels) == names
    assert all(isinstance(each, np.ndarray) for each in frame.channels.values())


def test_trap_5_mip_maps_are_written_with_one_level(tmp_path: Path) -> None:
    picture = oiio.ImageBuf(oiio.ImageSpec(64, 64, 3, "half"))
    oiio.ImageBufAlgo.fill(picture, (0.2, 0.3, 0.4))
    path = tmp_path / "mip.exr"
    config = oiio.ImageSpec()
    config.attribute("maketx:forcefloat", 1)
    assert oiio.ImageBufAlgo.make_texture(oiio.MakeTxTexture, picture, str(path), config)
    _set_mip_mapped(path)
    frame = read_exr(path)
    write_exr(tmp_path / "copy.exr", frame)
    copy = read_exr(tmp_path / "copy.exr")
    assert copy.header["tiles"].mode == OpenEXR.ONE_LEVEL
    assert same_pixels(frame, copy)
    assert frame.lost == ("the smaller levels of a mip map",)


def _set_mip_mapped(path: Path) -> None:
    """The fixture is mip-mapped on disk, whatever the library above says of its first level."""
    opened = oiio.ImageInput.open(str(path))
    assert opened.seek_subimage(0, 1), "the fixture has one level only"
    opened.close()


def test_trap_11_light_beyond_half_float_becomes_its_largest_not_infinity(tmp_path: Path) -> None:
    frame = frame_of(np.full((2, 3, 3), 0.5, np.float16))
    mask = np.array([[True, False, False], [False, False, True]])
    light = np.full((2, 3, 3), 1e9, np.float32)
    light[1, 2] = -1e9
    write_exr(tmp_path / "a.exr", frame.with_rgb(mask, light))
    result = read_exr(tmp_path / "a.exr").rgb()
    assert result[0, 0].tolist() == [65504.0] * 3
    assert result[1, 2].tolist() == [-65504.0] * 3
    assert result[0, 1].tolist() == [0.5] * 3


def test_traps_2_7_9_10_are_calls_that_are_made_nowhere() -> None:
    """Two-dimensional write_image and set_pixels, ImageBuf.get_pixels, copy_image, ImageInput.create."""
    import stit_vfx.plate

    folder = Path(next(iter(stit_vfx.plate.__path__)))
    text = "\n".join(path.read_text() for path in folder.glob("*.py"))
    for call in ("write_image", "set_pixels", "get_pixels", "copy_image", "ImageInput.create", "ImageBuf("):
        assert call not in text


# changes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_only_masked_pixels_of_rgb_change(nasty: dict[str, Path], tmp_path: Path, kind: str) -> None:
    frame = read_exr(nasty[kind])
    mask = np.zeros(frame.shape, bool)
    mask[5:9, 10:20] = True
    write_exr(tmp_path / "a.exr", frame.with_rgb(mask, np.full((*frame.shape, 3), 0.25, np.float32)))
    after = read_exr(tmp_path / "a.exr")
    part, names = frame.rgb_place
    for name, pixels in frame.channels.items():
        edited = name.rpartition("/")[2] in names and name.startswith(frame.parts[part].name)
        differs = bits(after.channels[name]) != bits(pixels)
        assert not differs[~mask if edited else ...].any(), name
        assert not edited or (after.channels[name][mask] == 0.25).all()


def test_layers_and_attributes_are_added_beside_what_is_there(nasty: dict[str, Path], tmp_path: Path) -> None:
    frame = read_exr(nasty["rich"])
    matte = np.linspace(0, 1, 2000, dtype=np.float16).reshape(40, 50)
    edited = frame.with_layers({"stit_matte.A": matte}).with_attributes(
        {"stit/frame": 7, "stit/params": "{}"}
    )
    write_exr(tmp_path / "a.exr", edited)
    after = read_exr(tmp_path / "a.exr")
    assert (bits(after.channels["stit_matte.A"]) == bits(matte)).all()
    assert (after.header["stit/frame"], after.header["stit/params"]) == (7, "{}")
    assert set(after.channels) == {*frame.channels, "stit_matte.A"}
    assert "stit_matte.A" not in frame.channels
    with pytest.raises(ValueError, match="does not fit"):
        frame.with_layers({"wrong.A": matte[1:]})


def test_layers_go_to_the_part_that_is_edited(nasty: dict[str, Path]) -> None:
    frame = read_exr(nasty["multipart"]).with_layers({"stit_matte.A": np.zeros((40, 50), np.float16)})
    assert "beauty/stit_matte.A" in frame.channels
    assert [part.name for part in frame.parts] == ["matte", "beauty", "right"]


def test_matte_has_the_plates_windows(nasty: dict[str, Path], tmp_path: Path) -> None:
    frame = read_exr(nasty["overscan"])
    matte = np.linspace(-0.5, 1.5, 2000, dtype=np.float32).reshape(frame.shape)
    write_matte(tmp_path / "m.exr", matte, frame)
    after = read_exr(tmp_path / "m.exr")
    assert (after.data_window, after.display_window) == (frame.data_window, frame.display_window)
    assert sorted(after.channels) == ["B", "G", "R"]
    for pixels in after.channels.values():
        assert np.array_equal(pixels, np.clip(matte, 0, 1).astype(np.float16))


# whole or not at all --------------------------------------------------------------------------------------


def test_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk: the system refuses in the middle of the pixels."""
    frame = frame_of(np.random.default_rng(0).random((400, 400, 3)).astype(np.float32))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        with pytest.raises(DiskFullError, match="STIT-E402"):
            write_exr(tmp_path / "a.exr", frame)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (errno.ENOSPC, DiskFullError),
        (errno.EDQUOT, DiskFullError),
        (errno.EROFS, ReadOnlyError),
        (errno.EACCES, ReadOnlyError),
        (errno.EIO, StorageError),
    ],
)
def test_what_the_library_says_as_text_becomes_the_right_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: int, error: type[Exception]
) -> None:
    class Failing:
        def __init__(self, *_: object, **__: object) -> None:
            raise RuntimeError(f'Failed to write pixel data to image file "a.exr". {os.strerror(said)}.')

    old = tmp_path / "a.exr"
    old.write_bytes(b"the old one")
    frame = frame_of(np.zeros((4, 4, 3), np.float16))
    monkeypatch.setattr(OpenEXR, "File", Failing)
    with pytest.raises(error):
        write_exr(old, frame)
    assert old.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [old]


def test_folder_that_may_not_be_written_says_so_for_root_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ReadOnlyError, match="STIT-E403"):
        write_exr(tmp_path / "a.exr", frame_of(np.zeros((4, 4, 3), np.float16)))


def test_file_that_cannot_be_read_again_gets_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some shares take every byte of a file and keep half."""
    honest = OpenEXR.File.write

    def half(self: object, name: str) -> None:
        honest(self, name)
        os.truncate(name, os.path.getsize(name) // 2)

    monkeypatch.setattr(OpenEXR.File, "write", half)
    with pytest.raises(StorageError, match="cannot be read again"):
        write_exr(tmp_path / "a.exr", frame_of(np.zeros((64, 64, 3), np.float16)))
    assert list(tmp_path.iterdir()) == []


def test_frame_that_exr_cannot_hold_is_refused_by_name(tmp_path: Path) -> None:
    frame = frame_of(np.zeros((4, 4, 3), np.float16)).with_attributes({"odd": object()})
    with pytest.raises(PlateWriteError, match=r"a\.exr.*odd"):
        write_exr(tmp_path / "a.exr", frame)
    assert list(tmp_path.iterdir()) == []


def test_process_killed_while_writing_leaves_no_named_file(tmp_path: Path) -> None:
    code = (
        "import os, OpenEXR, numpy as np\n"
        "from plates import frame_of\n"
        "from stit_vfx.plate import exr\n"
        "exr._check_written = lambda *_: os.kill(os.getpid(), 9)\n"
        f"exr.write_exr({str(tmp_path / 'a.exr')!r}, frame_of(np.zeros((64, 64, 3), np.float16)))\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[2]}"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert done.returncode == -9
    left = [path.name for path in tmp_path.iterdir()]
    assert len(left) == 1
    assert left[0].startswith(".tmp-")
    assert left[0].endswith(".exr")


def test_mode_bits_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_exr(tmp_path / "a.exr", frame_of(np.zeros((4, 4, 3), np.float16)))
    finally:
        os.umask(before)
    assert (tmp_path / "a.exr").stat().st_mode & 0o777 == 0o640


def test_tiled_plate_stays_tiled(tmp_path: Path) -> None:
    path = write(tmp_path / "a.exr", plain_channels(40, 50), type=OpenEXR.tiledimage, tiles=tiles(32))
    write_exr(tmp_path / "b.exr", read_exr(path))
    assert read_exr(tmp_path / "b.exr").header["tiles"].xSize == 32
