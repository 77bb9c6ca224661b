"""The add-on in a real Blender, with the real engine: apt's Blender or whichever is found, and bpy wheels.

Tests with `wheel` are slow ones: `STIT_BPY_PYTHONS=v45/bin/python:v50/bin/python scripts/test -m slow`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from blender_host import ADDON, QUICK, Host

SLIDERS = {"smile": -0.7}
KEYS = {"stit_edit_age": [[102, 0.2], [103, 0.6]]}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(560)]


def read_exr(path: str | Path) -> np.ndarray:
    """(H, W, 3) float32 by another library than Blender's."""
    import OpenImageIO as oiio

    return oiio.ImageBuf(str(path)).get_pixels(oiio.FLOAT)[..., :3]


def cook_and_compare(host: Host, engine: Path, plate: Path, out: Path) -> None:
    """The whole loop, and the same job by `stit run`: the same numbers in files and renders."""
    answer = host.do(
        out,
        engine,
        plate=str(plate),
        trim=[1, 1],
        sliders=SLIDERS,
        keys=KEYS,
        settings=QUICK,
        do=[
            *("job", "freshness", ["operator", "cook"], "freshness"),
            *(["set", "stit_matte_soften", 9.0], "freshness", ["set", "stit_matte_soften", 6.0], "freshness"),
            *(["render", "edit", 103], ["render", "plain", 103, ["plate v001"]], ["operator", "cook"]),
            ["save", str(out / "cooked.blend")],
        ],
    )
    assert answer["cook"] == ["FINISHED"]
    assert answer["freshness"] == ["new", "fresh", "stale", "fresh"]
    job = answer["job"]
    assert job["frames"] == "1002-1003"
    assert job["edits"][1]["keys"] == {"1002": 0.2, "1003": 0.6}

    # Cooked twice: the same version, no third strip.
    made = {strip["role"]: strip for strip in answer["strips"]}
    assert len(answer["strips"]) == 3
    assert made["edit"]["files"] == ["demo_comp_v001.1002.exr", "demo_comp_v001.1003.exr"]
    assert made["matte"]["files"] == ["demo_matte_v001.1002.exr", "demo_matte_v001.1003.exr"]
    assert made["edit"]["handles"] == made["matte"]["handles"] == made[""]["handles"] == [102, 104]
    assert (made["edit"]["mute"], made["matte"]["mute"], made["edit"]["blend"]) == (False, True, "ALPHA_OVER")
    assert made[""]["channel"] < made["edit"]["channel"] < made["matte"]["channel"]

    alone = out / "alone"
    job["output"]["folder"] = str(alone)
    (out / "job.json").write_text(json.dumps(job))
    subprocess.run([str(engine), "run", str(out / "job.json"), "--events", "none"], check=True, timeout=280)
    for kind in ("comp", "matte"):
        for frame in (1002, 1003):
            name = Path("demo.stit", "out", "v001", kind, f"demo_{kind}_v001.{frame}.exr")
            np.testing.assert_array_equal(read_exr(out / "renders" / name), read_exr(alone / name))

    before, shown = read_exr(answer["rendered"]["plain"]), read_exr(answer["rendered"]["edit"])
    comp = read_exr(alone / "demo.stit/out/v001/comp/demo_comp_v001.1003.exr")
    np.testing.assert_array_equal(before, read_exr(plate / "demo.1003.exr"))
    np.testing.assert_array_equal(shown, comp)
    assert np.abs(shown - before).max() > 0.02
    matte = read_exr(alone / "demo.stit/out/v001/matte/demo_matte_v001.1003.exr")
    np.testing.assert_array_equal(shown[matte == 0], before[matte == 0])


def test_a_cooked_strip_is_what_stit_run_makes(host, engine, plate, tmp_path):
    cook_and_compare(host, engine, plate, tmp_path)


@pytest.mark.slow
def test_a_cooked_strip_is_what_stit_run_makes_in_wheels(wheel, engine, plate, tmp_path):
    cook_and_compare(wheel, engine, plate, tmp_path)


def test_cancel_keeps_the_strips_as_they_are_and_resume_goes_on(host, engine, plate, tmp_path):
    answer = host.do(
        tmp_path,
        engine,
        plate=str(plate),
        trim=[0, 2],
        sliders=SLIDERS,
        settings={**QUICK, "stit_tune_steps": 20},
        do=[["cancel_cook", 0.0], ["set", "stit_edit_smile", 0.2], ["operator", "resume"], "freshness"],
    )
    assert answer["run"]["status"] == 130
    assert answer["resume"] == ["FINISHED"]
    assert sorted(strip["role"] for strip in answer["strips"]) == ["", "edit", "matte"]
    # What was gone on with is the old job: the slider has moved since.
    assert answer["freshness"] == ["stale"]
    done = json.loads(next((tmp_path / "renders" / "demo.stit" / "jobs").glob("v*/job.json")).read_text())
    assert done["edits"][0]["strength"] == -0.7


def _fake(tmp_path: Path, body: str) -> Path:
    script = tmp_path / "fake"
    hello = '{"ev":"hello","seq":1,"t":0,"proto":"1.0","engine":"stit_vfx 9","pid":1,"caps":[]}'
    script.write_text(f"#!/bin/sh\necho '{hello}'\n{body}\n")
    script.chmod(0o755)
    return script


@pytest.mark.parametrize(
    ("body", "code", "status"),
    [
        ("echo oh no >&2; kill -11 $$", "STIT-H105", 1),
        ('echo \'{"ev":"end","seq":2,"t":1,"status":"ok","exit":0}\'', "STIT-H106", 1),
    ],
)
def test_an_engine_that_crashes_or_makes_nothing_is_told_and_leaves_no_strips(
    host, plate, tmp_path, body, code, status
):
    answer = host.do(
        tmp_path, _fake(tmp_path, body), plate=str(plate), sliders=SLIDERS, do=["cook", ["operator", "cook"]]
    )
    assert answer["run"]["status"] == status
    assert code in answer["run"]["message"]
    assert code in answer["cook"]
    assert len(answer["strips"]) == 1


def test_a_missing_engine_is_an_error_of_the_operator(host, plate, tmp_path):
    do = [["operator", "cook"], ["operator", "analyse"], ["operator", "test_engine"]]
    answer = host.do(tmp_path, "/no/such/engine", plate=str(plate), sliders=SLIDERS, do=do)
    assert all("STIT-H101" in answer[name] for name in ("cook", "analyse", "test_engine"))


def test_sliders_at_zero_and_an_unsaved_file_are_refused(host, engine, plate, tmp_path):
    do = [["operator", "cook"], ["set", "stit_output", "//renders"], ["operator", "cook"]]
    assert "Move one" in host.do(tmp_path, engine, plate=str(plate), do=do[:1])["cook"]
    assert (
        "Save the .blend" in host.do(tmp_path, engine, plate=str(plate), sliders=SLIDERS, do=do[1:])["cook"]
    )


def test_analysis_finds_the_face_and_the_picker_names_it(host, engine, plate, tmp_path):
    do = [["operator", "analyse"], "faces", ["set", "stit_face", "1"], "job"]
    answer = host.do(tmp_path, engine, plate=str(plate), trim=[1, 1], sliders=SLIDERS, do=do)
    assert answer["analyse"] == ["FINISHED"]
    (face,) = answer["faces"]
    assert answer["job"]["face"]["frame"] in (1002, 1003)
    left, top, right, bottom = answer["job"]["face"]["box"]
    # The demo's camera looks at this face: its middle is near the picture's.
    assert abs((left + right) / 2 - 480) < 120
    assert abs((top + bottom) / 2 - 270) < 120
    assert face["frames"] == "1002-1003"


GREYS = np.arange(20, 220, 20)


def write_greys(path: Path) -> None:
    """A lossless movie of ten frames, each another grey."""
    import av

    with av.open(str(path), "w") as movie:
        stream = movie.add_stream("png", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "rgb24"
        for grey in GREYS:
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), grey, np.uint8), format="rgb24")
            movie.mux(stream.encode(frame))
        movie.mux(stream.encode())


def test_a_trimmed_movies_frames_are_the_ones_blender_shows(host, engine, tmp_path):
    movie = tmp_path / "greys.mov"
    write_greys(movie)
    do = ["job", ["render", "first", 103], ["render", "last", 106]]
    answer = host.do(tmp_path, engine, movie=str(movie), trim=[2, 4], sliders=SLIDERS, size=[64, 64], do=do)
    assert answer["job"]["frames"] == "3-6"
    assert answer["job"]["plate"] == str(movie)
    for name, number in (("first", 3), ("last", 6)):
        code = GREYS[number - 1] / 255
        light = ((code + 0.055) / 1.055) ** 2.4
        assert read_exr(answer["rendered"][name]).mean() == pytest.approx(light, abs=0.004)


# The farm's door ----------------------------------------------------------------------------------------


def saved(host: Host, folder: Path, engine: Path, **task) -> Path:
    """A .blend with an edit that is not cooked."""
    path = folder / "shot.blend"
    host.do(folder, engine, sliders=SLIDERS, do=[["save", str(path)]], **task)
    return path


def farm(host: Host, engine: Path, blend: Path, *words: str) -> subprocess.Popen:
    argv = [
        host.program,
        "-b",
        str(blend),
        "--factory-startup",
        "--python",
        str(ADDON / "farm.py"),
        "--",
        *words,
    ]
    env = {**os.environ, "STIT_VFX_ENGINE": str(engine)}
    return subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_farm_gets_0_and_a_saved_file(executable, engine, plate, tmp_path):
    blend = saved(executable, tmp_path, engine, plate=str(plate), trim=[1, 2], settings=QUICK)
    cooked = tmp_path / "cooked.blend"
    process = farm(executable, engine, blend, "--save-as", str(cooked))
    said, _ = process.communicate(timeout=280)
    assert process.returncode == 0, said
    assert cooked.exists()
    assert list((tmp_path / "renders/demo.stit/out/v001/comp").glob("*.1002.exr"))


def test_a_farm_gets_3_where_there_is_no_face(executable, engine, tmp_path):
    grey = tmp_path / "grey"
    grey.mkdir()
    import OpenEXR

    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {"RGB": np.full((120, 160, 3), 0.18, np.float16)}).write(str(grey / "g.0001.exr"))
    blend = saved(executable, tmp_path, engine, plate=str(grey), settings=QUICK)
    process = farm(executable, engine, blend)
    said, _ = process.communicate(timeout=280)
    assert process.returncode == 3, said
    assert "STIT-E31" in said


def test_a_farm_that_stops_it_gets_130(executable, engine, plate, tmp_path):
    slow = {**QUICK, "stit_tune_steps": 5000}
    blend = saved(executable, tmp_path, engine, plate=str(plate), trim=[1, 2], settings=slow)
    process = farm(executable, engine, blend)
    # Started for real: the engine has made the shot's folder.
    for _ in range(2000):
        assert process.poll() is None, process.stdout.read()
        if (tmp_path / "renders/demo.stit/shot.json").exists():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "Cancelled" in said


def test_a_farm_gets_2_for_words_and_4_without_an_engine(executable, engine, plate, tmp_path):
    blend = saved(executable, tmp_path, engine, plate=str(plate))
    for words, status in ((["--nonsense"], 2), (["--strip", "nobody"], 2), ([], 4)):
        process = farm(executable, Path("/no/such/engine"), blend, *words)
        said, _ = process.communicate(timeout=120)
        assert process.returncode == status, said


def test_the_engine_is_started_without_blenders_python(host, plate, tmp_path):
    dump = tmp_path / "env.txt"
    fake = _fake(tmp_path, f"env > {dump}; exit 1")
    host.do(tmp_path, fake, plate=str(plate), sliders=SLIDERS, do=["cook"])
    names = {line.split("=")[0] for line in dump.read_text().splitlines()}
    assert not names & {"PYTHONHOME", "PYTHONPATH", "LD_LIBRARY_PATH"}
    assert shutil.which("sh")
