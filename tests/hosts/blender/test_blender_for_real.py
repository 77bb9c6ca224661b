"""The add-on in a real Blender, with the real engine: apt's Blender or whichever is found, and bpy wheels.

Tests with `wheel` are slow ones: `STIT_BPY_PYTHONS=v45/bin/python:v50/bin/python scripts/test -m slow`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from blender_host import ADDON, PROJECT, QUICK, Host
from loop import SLIDERS, cook_and_compare, read_exr
from PIL import Image

pytestmark = [pytest.mark.slow, pytest.mark.timeout(560)]


def test_a_cooked_strip_is_what_stit_run_makes(host, engine, plate, tmp_path):
    cook_and_compare(host, engine, plate, tmp_path)


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


def use_every_control(host: Host, engine: Path, plate: Path, out: Path) -> None:
    """Each of the panel's controls in turn, by its operator or its property."""
    answer = host.do(
        out,
        engine,
        plate=str(plate),
        trim=[1, 1],
        sliders=SLIDERS,
        settings=QUICK,
        do=[
            *("warnings", ["display_light"], "warnings", ["linear_light"]),
            *(["operator", "resume"], ["operator", "analyse"], ["set", "stit_face", "1"]),
            *(["operator", "preview"], "picture", ["operator", "cook"], "freshness"),
            *(["set", "stit_matte_grow", 14.0], ["set", "stit_matte_soften", 24.0], "freshness"),
            *(["operator", "cook"], "freshness", "write_job", ["operator", "write_job"]),
            *(["operator", "clear_cache"], ["set", "stit_strength", 0.5], "freshness", "job"),
        ],
    )
    fine, wrong = answer["warnings"]
    assert fine == ["", ""]
    assert "scene-linear" in wrong[0]
    assert "Cook first" in answer["resume"]
    finished = ("analyse", "preview", "cook", "write_job", "clear_cache")
    assert {name: answer[name] for name in finished} == {name: ["FINISHED"] for name in finished}
    # Plate and edit beside each other.
    with Image.open(answer["picture"]) as picture:
        assert min(picture.size) > 100
    assert answer["freshness"] == ["fresh", "stale", "fresh", "stale"]

    strips = sorted((strip["role"], strip["version"], strip["mute"]) for strip in answer["strips"])
    edits, mattes = ([(role, "v001", True), (role, "v002", role == "matte")] for role in ("edit", "matte"))
    assert strips == [("", "v002", False), *edits, *mattes]
    shot = out / "renders" / "demo.stit"
    first, second = (
        read_exr(shot / "out" / v / "matte" / f"demo_matte_{v}.1002.exr")[..., 0] for v in ("v001", "v002")
    )
    assert (second > 0).sum() > 1.1 * (first > 0).sum()
    soft = [((matte > 0.02) & (matte < 0.98)).sum() for matte in (first, second)]
    assert soft[1] > 1.5 * soft[0]

    path, command = answer["written"]
    assert command.startswith(f"stit run {path}")
    # The job is the second version's, so the engine has nothing left to do: until the cache is cleared.
    words = [str(engine), "run", path, "--dry-run", "--json"]
    planned = json.loads(subprocess.run(words, check=True, capture_output=True, timeout=120).stdout)
    assert planned["version"] == "v002"
    assert json.loads(Path(path).read_text())["face"]["frame"] in (1002, 1003)
    assert not list((shot / "cache").rglob("*.safetensors"))
    assert len(list((shot / "out").rglob("*_comp_*.exr"))) == 4
    assert answer["job"]["edits"][0]["strength"] == pytest.approx(0.5 * SLIDERS["smile"])


def test_every_control_of_the_panel_does_what_it_says(host, engine, plate, tmp_path):
    use_every_control(host, engine, plate, tmp_path)


def test_every_control_of_the_panel_does_what_it_says_in_wheels(wheel, engine, plate, tmp_path):
    use_every_control(wheel, engine, plate, tmp_path)


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


def write_grey(folder: Path) -> None:
    """A plate without a face."""
    import OpenEXR

    folder.mkdir()
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    picture = np.full((120, 160, 3), 0.18, np.float16)
    OpenEXR.File(header, {"RGB": picture}).write(str(folder / "g.0001.exr"))


def wait_for(path: Path, process: subprocess.Popen) -> None:
    """Until a file is there: the engine works for real."""
    for _ in range(2000):
        assert process.poll() is None, process.stdout.read()
        if path.exists():
            return
        time.sleep(0.1)


def test_a_farm_gets_3_where_there_is_no_face(executable, engine, tmp_path):
    write_grey(tmp_path / "grey")
    blend = saved(executable, tmp_path, engine, plate=str(tmp_path / "grey"), settings=QUICK)
    process = farm(executable, engine, blend)
    said, _ = process.communicate(timeout=280)
    assert process.returncode == 3, said
    assert "STIT-E31" in said


def test_a_farm_that_stops_it_gets_130(executable, engine, plate, tmp_path):
    slow = {**QUICK, "stit_tune_steps": 5000}
    blend = saved(executable, tmp_path, engine, plate=str(plate), trim=[1, 2], settings=slow)
    process = farm(executable, engine, blend)
    wait_for(tmp_path / "renders/demo.stit/shot.json", process)
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


@pytest.fixture(scope="module")
def extension(executable: Host, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The built extension, installed as a user does it; gives the environment that Blender finds it in."""
    told = subprocess.run([executable.program, "--version"], capture_output=True, text=True, check=True)
    version = told.stdout.split()[1].split(".")
    if (int(version[0]), int(version[1])) < (4, 2):
        pytest.skip(f"Blender {'.'.join(version)} has no -c: 4.2 and later do")
    folder = tmp_path_factory.mktemp("extension")
    subprocess.run([sys.executable, str(PROJECT / "host_plugins/blender/build.py"), str(folder)], check=True)
    (package,) = (path for path in folder.glob("*.zip") if "legacy" not in path.name)
    env = {**os.environ, "BLENDER_USER_RESOURCES": str(folder / "user")}
    words = ["extension", "install-file", "--repo", "user_default", "--enable", str(package)]
    subprocess.run([executable.program, "-b", "-c", *words], env=env, check=True, timeout=120)
    return env


def by_command(host: Host, env: dict[str, str], engine: Path, blend: Path, *words: str) -> subprocess.Popen:
    argv = [host.program, "-b", str(blend), "-c", "stit_vfx", *words]
    env = {**env, "STIT_VFX_ENGINE": str(engine)}
    return subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_the_extensions_command_ends_with_0_3_and_130(executable, extension, engine, plate, tmp_path):
    blend = saved(executable, tmp_path / "good", engine, plate=str(plate), trim=[1, 2], settings=QUICK)
    process = by_command(executable, extension, engine, blend, "--save")
    said, _ = process.communicate(timeout=280)
    assert process.returncode == 0, said

    write_grey(tmp_path / "grey")
    blend = saved(executable, tmp_path / "faceless", engine, plate=str(tmp_path / "grey"), settings=QUICK)
    process = by_command(executable, extension, engine, blend)
    said, _ = process.communicate(timeout=280)
    assert process.returncode == 3, said
    assert "STIT-E31" in said

    slow = {**QUICK, "stit_tune_steps": 5000}
    blend = saved(executable, tmp_path / "slow", engine, plate=str(plate), trim=[1, 2], settings=slow)
    process = by_command(executable, extension, engine, blend)
    wait_for(tmp_path / "slow/renders/demo.stit/shot.json", process)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 130, said


def test_the_engine_is_started_without_blenders_python(host, plate, tmp_path):
    dump = tmp_path / "env.txt"
    fake = _fake(tmp_path, f"env > {dump}; exit 1")
    host.do(tmp_path, fake, plate=str(plate), sliders=SLIDERS, do=["cook"])
    names = {line.split("=")[0] for line in dump.read_text().splitlines()}
    assert not names & {"PYTHONHOME", "PYTHONPATH", "LD_LIBRARY_PATH"}
    assert shutil.which("sh")
