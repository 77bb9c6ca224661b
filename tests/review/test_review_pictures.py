from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from PIL import Image

from stit_vfx.review import SheetFrame, contact_sheet, write_movie, write_png
from stit_vfx.review.sheet import FACE_PX


def picture(height: int, width: int, *, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)


def sheet_frame(frame: int, *, height: int = 540, width: int = 960) -> SheetFrame:
    return SheetFrame(
        frame=frame,
        plate8=picture(height, width, seed=frame),
        edit8=picture(height, width, seed=frame + 1),
        matte=np.zeros((height, width), np.float32),
        face_box=(400.0, 150.0, 600.0, 350.0),
    )


def test_faces_are_shown_at_the_plates_own_pixels() -> None:
    shown = sheet_frame(1001)
    sheet = contact_sheet([shown], title="a")
    cut = shown.plate8[90 : 90 + FACE_PX, 340 : 340 + FACE_PX]
    rows = np.lib.stride_tricks.sliding_window_view(sheet[:, :, 0], (1, 64))[:, :, 0]
    found = (rows == cut[0, :64, 0]).all(-1)
    assert found.any()
    y, x = np.argwhere(found)[0]
    assert (sheet[y : y + FACE_PX, x : x + FACE_PX] == cut).all()


def test_a_face_at_the_pictures_edge_and_a_tiny_picture_fit() -> None:
    edge = sheet_frame(1)
    corner = SheetFrame(1, edge.plate8, edge.edit8, edge.matte, (-50.0, -50.0, 60.0, 60.0))
    tiny = SheetFrame(
        2,
        picture(64, 48, seed=1),
        picture(64, 48, seed=2),
        np.ones((64, 48), np.float32),
        (0.0, 0.0, 48.0, 64.0),
    )
    assert contact_sheet([corner, tiny], title="b", notes=["one", "two"]).dtype == np.uint8


def test_a_png_comes_back_as_it_went(tmp_path: Path) -> None:
    shown = picture(20, 30, seed=3)
    write_png(tmp_path / "a.png", shown)
    assert (np.asarray(Image.open(tmp_path / "a.png")) == shown).all()


def test_a_movie_has_every_frame_its_rate_and_nearly_its_colours(tmp_path: Path) -> None:
    greys = [np.full((41, 61, 3), (20 * n, 100, 200 - 10 * n), np.uint8) for n in range(1, 8)]
    assert write_movie(tmp_path / "a.mp4", iter(greys), fps=23.976) == 7
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert abs(float(stream.average_rate or 0) - 24000 / 1001) < 1e-3
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(frames) == 7
    assert frames[0].shape == (40, 60, 3)
    for shown, decoded in zip(greys, frames, strict=True):
        assert np.abs(decoded.astype(int) - shown[:40, :60]).max() <= 4


def test_long_notes_are_wrapped_to_a_narrow_sheet() -> None:
    narrow = contact_sheet([sheet_frame(1001)], title="t", notes=["word " * 60])
    short = contact_sheet([sheet_frame(1001)], title="t", notes=["word"])
    assert narrow.shape[1] == short.shape[1]
    assert narrow.shape[0] >= short.shape[0] + 4 * 26
