"""The nodes with the real engine and the built-in pack: two frames, pixels compared with `stit run`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stit_vfx.demo import write_plate
from stit_vfx.plate.exr import read_exr

ROOT = Path(__file__).resolve().parents[3]
TUNE_STEPS = 4


def pixels(path: Any) -> dict[str, np.ndarray]:
    frame = read_exr(Path(path))
    return {name: channel.copy() for name, channel in frame.channels.items()}


def same(one: Any, other: Any) -> bool:
    a, b = pixels(one), pixels(other)
    return a.keys() == b.keys() and all(a[name].tobytes() == b[name].tobytes() for name in a)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_nodes_make_the_pixels_that_stit_run_makes(
    nodes: Any, comfy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = tmp_path / "stit"
    engine.write_text('#!/bin/sh\nPYTHONPATH="{}" exec "{}" -m stit_vfx "$@"\n'.format(ROOT, sys.executable))
    engine.chmod(0o755)
    monkeypatch.setenv("STIT_VFX_ENGINE", str(engine))
    plate = str(write_plate(tmp_path / "plate", frames=(1001, 1002)))

    handle, pattern, first, last = nodes.StitLoadPlate().load(plate)
    assert (first, last) == (1001, 1002)
    (edits,) = nodes.StitDirection().add("smile", 0.6)
    shot, comp, matte, version = nodes.StitFaceEdit().edit(
        handle, edits, "stit", shot="sh010", tune_steps=TUNE_STEPS, device="cpu"
    )["result"]
    assert version == "v001"

    words = ["--plate", plate, "--edit", "smile=0.6", "--tune-steps", str(TUNE_STEPS), "--device", "cpu"]
    place = ["--shot", "sh010", "--out", str(tmp_path / "direct")]
    subprocess.run([str(engine), "run", *words, *place], check=True, timeout=300, capture_output=True)
    theirs = tmp_path / "direct" / "sh010.stit" / "out" / "v001"
    for frame in (1001, 1002):
        for pattern, kind in ((comp, "comp"), (matte, "matte")):
            (path,) = nodes.StitFrame().frame(pattern, frame)
            assert same(path, theirs / kind / os.path.basename(path))
        (edited,) = nodes.StitFrame().frame(comp, frame)
        assert not same(edited, nodes.StitFrame().frame(handle["plate"], frame)[0])

    told = nodes.StitMatte().matte(shot, 12.0, 6.0, "")
    _, wider, grown, version = told["result"]
    assert version == "v002"
    (before,), (after,) = nodes.StitFrame().frame(matte, 1001), nodes.StitFrame().frame(grown, 1001)
    narrow, wide = pixels(before)["R"], pixels(after)["R"]
    assert (wide > 0).sum() > (narrow > 0).sum()
    # Outside of the wider matte the comp is the plate, bit for bit.
    source, made = (
        pixels(nodes.StitFrame().frame(handle["plate"], 1001)[0]),
        pixels(nodes.StitFrame().frame(wider, 1001)[0]),
    )
    for name in "RGB":
        assert source[name][wide == 0].tobytes() == made[name][wide == 0].tobytes()
        assert source[name].tobytes() != made[name].tobytes()
    assert told["ui"]["images"][0]["type"] == "output"
    assert Path(comfy.output, told["ui"]["images"][0]["subfolder"], "contact_sheet.png").is_file()
