from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from stit_vfx.demo import FRAMES, HEIGHT, WIDTH, Camera, write_plate
from stit_vfx.plate.exr import read_exr
from stit_vfx.plate.source import open_plate


def test_the_demo_plate_is_what_a_camera_delivers(tmp_path: Path) -> None:
    plate = open_plate(write_plate(tmp_path, frames=(1001, 1002)))
    assert plate.frames == (1001, 1002)
    assert plate.colour.space == "ACEScg"
    assert not plate.colour.guessed
    frame = plate.read(1001)
    assert frame.shape == (HEIGHT, WIDTH)
    assert frame.channels["R"].dtype == np.float16
    assert frame.header["framesPerSecond"] == Fraction(24, 1)
    light = frame.rgb()
    assert light.max() > 8
    assert (light > 1).mean() > 1e-4


def test_grain_is_new_in_every_frame_and_the_same_in_every_making(tmp_path: Path) -> None:
    first = write_plate(tmp_path / "a", frames=(1005, 1006))
    write_plate(tmp_path / "b", frames=(1006,))
    frames = [read_exr(first.replace("####", name)).rgb() for name in ("1005", "1006")]
    again = read_exr(tmp_path / "b" / "demo.1006.exr").rgb()
    assert (frames[1] == again).all()
    # The second difference along a row hardly sees the photograph's soft backdrop.
    noise = [np.diff(frame[120:240, 650:720], 2, axis=1) for frame in frames]
    assert noise[0].std() > 1e-3
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.1


def test_the_camera_moves_smoothly_and_never_looks_past_the_photograph() -> None:
    phases = np.linspace(0, 1, len(FRAMES))
    corners = np.array([[0, 0, 1], [WIDTH - 1, 0, 1], [0, HEIGHT - 1, 1], [WIDTH - 1, HEIGHT - 1, 1]], float)
    seen = np.array([corners @ Camera.at(phase).to_still().T for phase in phases])
    assert seen.min() >= 0
    assert seen.max() <= 511
    assert np.abs(np.diff(seen, 2, axis=0)).max() < 1.5
