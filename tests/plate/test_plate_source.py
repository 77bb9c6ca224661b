"""Plates of every kind become the same frames of light."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import OpenImageIO as oiio
import pytest
from plates import AP1, nasty_half, rgb, window, write

from stit_vfx.errors import (
    ColourSpaceError,
    PlateDamagedError,
    PlateMissingError,
    PlateSizeError,
    PlateUnsupportedError,
)
from stit_vfx.plate import stills
from stit_vfx.plate.source import open_plate

# sRGB code 188 / 255 as light (IEC 61966-2-1).
SRGB_188 = 0.5028864580


def still(path: Path, pixels: np.ndarray, kind: str, **attributes: Any) -> Path:
    """A picture (H, W, C) through OpenImageIO; alpha given multiplied in, as that library has it."""
    height, width, channels = pixels.shape
    spec = oiio.ImageSpec(width, height, channels, kind)
    for name, value in attributes.items():
        spec.attribute(name.replace("__", ":"), value)
    output = oiio.ImageOutput.create(str(path))
    assert output.open(str(path), spec)
    assert output.write_image(np.ascontiguousarray(pixels))
    output.close()
    return path


def movie(path: Path, codec: str, pixel_format: str, count: int = 10, **tags: Any) -> Path:
    """Grey frames of code 20 n, wide and high enough for every codec; `crf` 0 where there is one."""
    with av.open(str(path), "w") as container:
        options = {"crf": "0"} if codec == "libx264" else {}
        stream = container.add_stream(codec, rate=Fraction(24000, 1001), options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixel_format
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        for number in range(count):
            grey = np.full((48, 64, 3), 20 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24").reformat(format=pixel_format)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def srgb_light(code: np.ndarray | float) -> np.ndarray:
    code = np.asarray(code, np.float64)
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)


# EXR ------------------------------------------------------------------------------------------------


def test_exr_plate_tells_its_frames_space_size_and_rate(tmp_path: Path) -> None:
    for frame in (1001, 1002):
        write(
            tmp_path / f"a.{frame}.exr", rgb(6, 8), chromaticities=AP1, framesPerSecond=Fraction(24000, 1001)
        )
    plate = open_plate(tmp_path / "a.####.exr")
    assert (plate.frames, plate.shape, plate.colour.space, plate.colour.guessed) == (
        (1001, 1002),
        (6, 8),
        "ACEScg",
        False,
    )
    assert plate.fps == pytest.approx(23.976, abs=1e-3)
    assert plate.path(1002) == tmp_path / "a.1002.exr"
    assert plate.name == str(tmp_path / "a.%04d.exr")
    assert plate.read(1002).frame == 1002
    assert plate.fingerprint(1001) == hashlib.sha256((tmp_path / "a.1001.exr").read_bytes()).hexdigest()
    with pytest.raises(PlateMissingError, match="frame 1003"):
        plate.read(1003)


def test_exr_without_a_word_on_colour_is_a_guess(tmp_path: Path) -> None:
    plate = open_plate(write(tmp_path / "a.1001.exr", rgb(6, 8)))
    assert plate.colour.guessed
    assert not open_plate(tmp_path / "a.1001.exr", colourspace="acescg").colour.guessed


def test_check_finds_gaps_sizes_and_cut_files_by_their_headers(tmp_path: Path) -> None:
    for frame in (1, 2, 3, 5):
        write(tmp_path / f"a.{frame}.exr", rgb(64, 64))
    plate = open_plate(tmp_path / "a.#.exr")
    plate.check((1, 2, 3))
    with pytest.raises(PlateMissingError, match=r"frames 4 are not there"):
        plate.check((3, 4, 5))
    write(tmp_path / "a.2.exr", rgb(64, 64), displayWindow=window(0, 0, 60, 64))
    with pytest.raises(PlateSizeError, match=r"64x64\+0\+0 in 60x64, those of frame 1 64x64\+0\+0 in 64x64"):
        plate.check((1, 2, 3))
    data = (tmp_path / "a.3.exr").read_bytes()
    (tmp_path / "a.3.exr").write_bytes(data[: len(data) // 2])
    with pytest.raises(PlateDamagedError, match="frame 3"):
        plate.check((1, 3))


def test_plate_without_rgb_is_refused_when_it_is_opened_but_serves_as_a_matte(tmp_path: Path) -> None:
    path = write(tmp_path / "m.exr", {"A": nasty_half(6, 8)})
    with pytest.raises(PlateUnsupportedError, match="no R, G, B"):
        open_plate(path)
    assert open_plate(path, colourspace="data").read(1).grey().shape == (6, 8)


# stills ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "stored"),
    [("a.png", "uint8", "half"), ("a.png", "uint16", "float"), ("a.jpg", "uint8", "half")],
)
def test_display_pictures_become_light_through_the_srgb_curve(
    tmp_path: Path, name: str, kind: str, stored: str
) -> None:
    path = still(tmp_path / name, np.full((8, 10, 3), 188 / 255, np.float32), kind)
    plate = open_plate(path)
    frame = plate.read(1)
    # Neutral stays neutral on the way to ACEScg.
    assert frame.rgb() == pytest.approx(SRGB_188, rel=2e-3 if stored == "half" else 1e-5)
    assert frame.channels["R"].dtype == (np.float16 if stored == "half" else np.float32)
    assert plate.colour.space == "ACEScg"
    assert "sRGB" in plate.colour.why
    assert frame.header["colorInteropID"] == "lin_ap1_scene"


def test_untagged_tiff_is_a_guess_and_float_tiff_is_light(tmp_path: Path) -> None:
    eight = open_plate(still(tmp_path / "a.tif", np.full((8, 10, 3), 188 / 255, np.float32), "uint8"))
    assert eight.colour.guessed
    light = np.full((8, 10, 3), 7.5, np.float32)
    floats = open_plate(still(tmp_path / "b.tif", light, "float"))
    assert floats.colour.guessed
    assert np.array_equal(floats.read(1).rgb(), light)


def test_named_colour_space_is_believed(tmp_path: Path) -> None:
    path = still(tmp_path / "a.tif", np.full((8, 10, 3), 0.391, np.float32), "uint16")
    plate = open_plate(path, colourspace="ARRI LogC3 (EI800)")
    # ARRI: 18 % grey is code 0.391 in LogC3 at EI 800.
    assert plate.read(1).rgb() == pytest.approx(0.18, abs=1e-3)
    assert not plate.colour.guessed


@pytest.mark.parametrize(("depth", "kind"), [(10, np.float16), (12, np.float32), (16, np.float32)])
def test_dpx_is_read_at_its_depth(tmp_path: Path, depth: int, kind: type) -> None:
    path = still(
        tmp_path / "a.1001.dpx",
        np.full((8, 10, 3), 188 / 255, np.float32),
        "uint16",
        oiio__BitsPerSample=depth,
    )
    frame = open_plate(path).read(1001)
    assert frame.channels["G"].dtype == kind
    assert frame.rgb() == pytest.approx(SRGB_188, rel=3e-3)


def test_log_dpx_without_a_named_space_is_refused(tmp_path: Path) -> None:
    path = still(
        tmp_path / "a.dpx", np.full((8, 10, 3), 0.4, np.float32), "uint16", oiio__ColorSpace="KodakLog"
    )
    with pytest.raises(ColourSpaceError, match=r"KodakLog.*--colourspace"):
        open_plate(path)
    assert open_plate(path, colourspace="srgb_tx").read(1).shape == (8, 10)


def test_alpha_is_multiplied_into_light_not_into_code(tmp_path: Path) -> None:
    """Half covered white: light of 0.5, where multiplied code would give 0.21."""
    premultiplied = np.full((8, 10, 4), 0.5, np.float32)
    frame = open_plate(still(tmp_path / "a.png", premultiplied, "uint16")).read(1)
    assert frame.rgb() == pytest.approx(0.5, abs=1e-4)
    assert frame.channels["A"] == pytest.approx(0.5, abs=1e-4)


def test_grey_pictures_have_three_equal_channels(tmp_path: Path) -> None:
    frame = open_plate(still(tmp_path / "a.png", np.full((8, 10, 1), 188 / 255, np.float32), "uint8")).read(1)
    assert frame.rgb() == pytest.approx(SRGB_188, rel=2e-3)


def test_matte_of_a_picture_is_not_colour_managed(tmp_path: Path) -> None:
    path = still(tmp_path / "a.png", np.full((8, 10, 1), 0.5, np.float32), "uint16")
    assert open_plate(path, colourspace="data").read(1).grey() == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_upright_whatever_the_camera_did(tmp_path: Path, orientation: int) -> None:
    """EXIF 2.3: where the stored first row and column belong in the upright picture."""
    upright = np.arange(48, dtype=np.float32).reshape(6, 8, 1).repeat(3, -1) / 48
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]
    path = still(tmp_path / "a.tif", stored, "float", Orientation=orientation)
    plate = open_plate(path)
    assert plate.shape == (6, 8)
    assert np.array_equal(plate.read(1).rgb(), upright)


def test_still_that_was_cut_short_is_damaged(tmp_path: Path) -> None:
    path = still(tmp_path / "a.0001.png", np.random.default_rng(0).random((64, 64, 3)), "uint8")
    plate = open_plate(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(PlateDamagedError, match=r"a\.0001\.png, frame 1"):
        plate.read(1)
    path.write_bytes(b"")
    with pytest.raises(PlateDamagedError, match="empty"):
        plate.read(1)
    path.unlink()
    with pytest.raises(PlateMissingError):
        plate.read(1)


def test_stills_of_other_sizes_and_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    still(tmp_path / "a.0001.png", np.zeros((8, 10, 3), np.float32), "uint8")
    still(tmp_path / "a.0002.png", np.zeros((9, 10, 3), np.float32), "uint8")
    plate = open_plate(tmp_path / "a.####.png")
    with pytest.raises(PlateSizeError, match="frame 2"):
        plate.check((1, 2))
    monkeypatch.setenv("STIT_MAX_PIXELS", "79")
    with pytest.raises(PlateSizeError, match="10x8"):
        plate.read(1)


def test_trap_6_library_that_gives_no_text_for_an_error_does_not_hide_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def garbage() -> str:
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    path = tmp_path / "a.png"
    path.write_bytes(b"not a picture at all")
    with monkeypatch.context() as patch:
        patch.setattr(oiio, "geterror", garbage)
        with pytest.raises(PlateDamagedError, match="no reason given"):
            stills.read_still(path, 3)
    oiio.geterror()


# movies ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "kind", "limit"),
    [
        ("a.mp4", "libx264", "yuv420p", np.float16, 2.5),
        ("a.mov", "prores_ks", "yuv422p10le", np.float16, 2.5),
        ("a.mov", "qtrle", "rgb24", np.float16, 0.6),
        # The fixture itself is 0.4 % dark: 8 bits become 12 by shifting.
        ("a.mkv", "ffv1", "gbrp12le", np.float32, 0.8),
    ],
)
def test_movie_frames_are_counted_from_one_and_found_exactly(
    tmp_path: Path, name: str, codec: str, pixel_format: str, kind: type, limit: float
) -> None:
    plate = open_plate(movie(tmp_path / name, codec, pixel_format))
    assert plate.frames == tuple(range(1, 11))
    assert (plate.shape, plate.path(1)) == ((48, 64), None)
    assert plate.fps == pytest.approx(23.976, abs=1e-3)
    for frame in (1, 10, 4, 5, 3, 9, 1):
        light = plate.read(frame)
        assert light.channels["G"].dtype == kind
        code = 255 * (1.055 * np.maximum(light.rgb(), 1e-9) ** (1 / 2.4) - 0.055)
        assert abs(code[24, 32].mean() - 20 * (frame - 1)) < limit + 14 * (frame == 1)
    assert light.header["framesPerSecond"] == Fraction(24000, 1001)


def test_movie_tagged_rec709_is_seen_as_on_its_monitor(tmp_path: Path) -> None:
    plate = open_plate(
        movie(tmp_path / "a.mp4", "libx264", "yuv444p", colorspace=1, color_primaries=1, color_trc=1)
    )
    assert not plate.colour.guessed
    # Rec.1886: gamma 2.4.
    assert plate.read(7).rgb()[24, 32] == pytest.approx((120 / 255) ** 2.4, rel=0.02)


def test_movie_without_tags_is_a_guess(tmp_path: Path) -> None:
    plate = open_plate(movie(tmp_path / "a.mp4", "libx264", "yuv444p"))
    assert plate.colour.guessed
    assert plate.read(7).rgb()[24, 32] == pytest.approx(float(srgb_light(120 / 255)), rel=0.02)


def test_movie_for_hdr_screens_needs_a_named_space(tmp_path: Path) -> None:
    path = movie(tmp_path / "a.mp4", "libx264", "yuv420p10le", color_trc=16, color_primaries=9, colorspace=9)
    with pytest.raises(ColourSpaceError, match=r"PQ.*--colourspace"):
        open_plate(path)


def test_movie_with_a_number_is_not_a_frame_of_a_sequence(tmp_path: Path) -> None:
    for number, count in ((1, 3), (2, 5)):
        movie(tmp_path / f"clip_000{number}.mov", "qtrle", "rgb24", count)
    assert open_plate(tmp_path / "clip_0002.mov").frames == (1, 2, 3, 4, 5)


def test_fingerprints_of_movie_frames_follow_their_pixels(tmp_path: Path) -> None:
    plate = open_plate(movie(tmp_path / "a.mov", "qtrle", "rgb24"))
    prints = [plate.fingerprint(frame) for frame in plate.frames]
    assert len(set(prints)) == 10
    assert prints[3] == hashlib.sha256(bytes([60]) * (48 * 64 * 3)).hexdigest()
    assert open_plate(tmp_path / "a.mov").fingerprint(4) == prints[3]


def test_movie_that_ends_early_or_is_none_is_damaged(tmp_path: Path) -> None:
    path = movie(tmp_path / "a.mov", "qtrle", "rgb24")
    decoder = open_plate(path).decoder
    assert decoder is not None
    with pytest.raises(PlateDamagedError, match=r"a\.mov, frame 11: the movie ends before"):
        decoder.picture(11)
    data = path.read_bytes()
    for broken in (data[: len(data) // 2], b"not a movie", b""):
        path.write_bytes(broken)
        with pytest.raises(PlateDamagedError, match="cannot be decoded"):
            open_plate(path)
    with pytest.raises(PlateMissingError):
        open_plate(tmp_path / "b.mov")
