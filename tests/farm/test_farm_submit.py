"""Jobs for farms: the graph, its writers, handing over. The farms' own tools are in the slow test."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import types
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from stit_vfx.cli import stit
from stit_vfx.errors import JobError, MissingPartError, TransientError
from stit_vfx.farm import opencue, openjd
from stit_vfx.farm.graph import Graph, layers_of
from stit_vfx.farm.submit import Wishes, submit
from stit_vfx.job import Job
from stit_vfx.plate.sequence import parse_frames, parse_frames_openjd

# The order of elements that OpenCue's document type (cjsl-1.15) asks for.
LAYER_ORDER = ["cmd", "range", "chunk", "cores", "threadable", "memory", "gpus", "gpu_memory", "services"]
JOB_ORDER = ["paused", "priority", "maxretries", "autoeat", "layers"]


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    path = tmp_path / "sh010.json"
    job = {
        "schema": "stit.job/1",
        "shot": "sh010",
        "plate": "plates/sh010.####.exr",
        "frames": "1001-1020x2,1030",
        "edits": [{"direction": "smile", "strength": 0.5}],
        "output": {"folder": "renders"},
    }
    path.write_text(json.dumps(job))
    return path


def invoke(*args: object) -> Result:
    return CliRunner().invoke(stit, ["submit", *map(str, args)], standalone_mode=False)


def graph(**more: object) -> Graph:
    layers = layers_of("j o b.json", parse_frames("1001-1020x2,1030"), chunk=4, machine=("--device=cpu",))
    return Graph(name="stit sh010 v001", shot="sh010", engine=("stit",), layers=layers, **more)  # type: ignore[arg-type]


def test_every_frame_is_in_one_chunk_and_tuning_comes_first() -> None:
    tune, edit = graph().layers
    chunks = list(edit.chunks())
    assert sorted(frame for chunk in chunks for frame in chunk) == list(parse_frames("1001-1020x2,1030"))
    assert [len(chunk) for chunk in chunks] == [4, 4, 3]
    assert (tune.tasks, edit.tasks, edit.after, graph().tasks) == (1, 3, "tune", 4)


@pytest.mark.parametrize("frames", ["1001-1100", "1-9x2,12", "-5--1", "7", "1-100y10", "3,5,6,9-21x4"])
def test_a_range_means_the_same_frames_to_openjd(frames: str) -> None:
    assert parse_frames_openjd(openjd.openjd_range(parse_frames(frames))) == parse_frames(frames)


def test_a_bundle_says_what_its_specification_asks_for() -> None:
    told = openjd.template(graph(gpu_mb=8192, memory_mb=1200))
    assert told["specificationVersion"] == "jobtemplate-2023-09"
    tune, edit = told["steps"]
    assert edit["dependencies"] == [{"dependsOn": tune["name"]}]
    assert "parameterSpace" not in tune
    run = edit["script"]["actions"]["onRun"]
    assert run["args"][run["args"].index("--frames-openjd") + 1] == "{{Task.Param.Frame}}"
    assert run["args"][-2:] == ["--events", "openjd"]
    (frame,) = edit["parameterSpace"]["taskParameterDefinitions"]
    assert (frame["type"], frame["chunks"]["defaultTaskCount"]) == ("CHUNK[INT]", 4)
    amounts = {amount["name"]: amount["min"] for amount in tune["hostRequirements"]["amounts"]}
    assert amounts == {
        "amount.worker.memory": 1200,
        "amount.worker.gpu": 1,
        "amount.worker.gpu.memory": 8192,
    }
    assert "hostRequirements" not in openjd.template(graph())["steps"][0]


def test_words_that_openjd_would_take_for_its_own_are_refused() -> None:
    layers = layers_of("job.json", (1,), chunk=1, machine=("--ocio={{Param.Job}}x",))
    with pytest.raises(JobError, match="means something else"):
        openjd.template(Graph(name="n", shot="s", engine=("stit",), layers=layers))


def test_a_specification_has_opencues_order_and_quotes_what_a_shell_would_read() -> None:
    text = opencue.specification(graph(gpu_mb=8192, memory_mb=1200), show="alpha")
    spec = ElementTree.fromstring(text)
    assert [child.tag for child in spec] == ["show", "shot", "user", "uid", "job", "depends"]
    job = spec.find("job")
    assert job is not None
    assert [child.tag for child in job] == [tag for tag in JOB_ORDER if job.find(tag) is not None]
    assert job.get("name") == "stit_sh010_v001"
    edit = spec.findall(".//layer")[1]
    assert [child.tag for child in edit] == [tag for tag in LAYER_ORDER if edit.find(tag) is not None]
    words = shlex.split(edit.findtext("cmd") or "")
    assert words[:5] == ["stit", "run", "j o b.json", "--frames", "#FRAMESPEC#"]
    assert parse_frames(edit.findtext("range") or "") == parse_frames("1001-1020x2,1030")
    assert (edit.findtext("chunk"), edit.findtext("gpu_memory")) == ("4", "8192m")
    depend = spec.find("depends/depend")
    assert depend is not None
    assert (depend.findtext("deplayer"), depend.findtext("onlayer")) == ("edit", "tune")


def test_a_submitted_job_is_a_version_and_stays_the_same_one(job_file: Path) -> None:
    first = json.loads(invoke(job_file, "--to", "openjd", "--no-check", "--json").output)
    again = json.loads(invoke(job_file, "--to", "commands", "--no-check", "--json").output)
    assert (first["version"], again["version"]) == ("v001", "v001")
    version = job_file.parent / "renders/sh010.stit/jobs/v001/job.json"
    bundle = job_file.parent / "renders/sh010.stit/farm/v001/openjd"
    assert sorted(path.name for path in bundle.iterdir()) == [
        "asset_references.json",
        "job.json",
        "template.json",
    ]
    # What the workers load is the version's own job, wherever they start from.
    assert Job.load(bundle / "job.json") == Job.load(version)
    referred = json.loads((bundle / "asset_references.json").read_text())["assetReferences"][
        "referencedPaths"
    ]
    assert str(job_file.parent / "plates") in referred


def test_commands_are_lines_that_the_command_line_understands(job_file: Path) -> None:
    told = invoke(
        *(job_file, "--to", "commands", "--no-check", "--chunk", 4),
        *("--engine", "rez env stit -- stit", "--device", "cuda:1"),
    )
    lines = [shlex.split(line) for line in told.output.splitlines() if not line.startswith("#")]
    assert len(lines) == 4
    for words in lines:
        assert words[:6] == ["rez", "env", "stit", "--", "stit", "run"]
        command = stit.get_command(None, "run")  # type: ignore[arg-type]
        assert command is not None
        context = command.make_context("run", words[6:])
        assert context.params["device"] == "cuda:1"
    assert lines[0][7:9] == ["--step", "tune"]
    frames = [parse_frames(words[words.index("--frames") + 1]) for words in lines[1:]]
    assert sorted(sum(frames, ())) == list(parse_frames("1001-1020x2,1030"))


def test_what_a_run_would_refuse_is_refused_now(job_file: Path) -> None:
    with pytest.raises(Exception, match="STIT-E301"):
        submit(Job.load(job_file), to="openjd", wishes=Wishes())
    assert not (job_file.parent / "renders").exists()


def test_frames_come_from_the_plate_where_the_job_names_none(tmp_path: Path) -> None:
    from stit_vfx.demo import write_plate

    write_plate(tmp_path / "plates", frames=(1001, 1002))
    data = {"plate": str(tmp_path / "plates"), "edits": ["smile=0.5"], "shot": "sh020"}
    job = Job.from_options(**data, output={"folder": str(tmp_path / "out")})  # type: ignore[arg-type]
    made = submit(job, to="commands", wishes=Wishes(chunk=1))
    assert (made.tasks, Job.load(made.job).frames) == (3, "1001-1002")
    with pytest.raises(JobError, match="frames"):
        submit(job, to="commands", wishes=Wishes(check=False))
    wrong = Job.from_options(**{**data, "edits": ["smlie=0.5"]}, output={"folder": str(tmp_path / "out")})  # type: ignore[arg-type]
    with pytest.raises(JobError, match="STIT-E104"):
        submit(wrong, to="commands", wishes=Wishes())


def test_opencue_without_a_show_is_refused(job_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOW", raising=False)
    with pytest.raises(JobError, match="--show"):
        submit(Job.load(job_file), to="opencue", wishes=Wishes(check=False))


# Handing over ---------------------------------------------------------------------------------------------


def test_sending_is_the_farms_own_client_and_its_answer_is_told(
    job_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "deadline"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\ntest -f "$3/template.json" || exit 9\necho "job-1 $1 $2 $4"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    wishes = Wishes(check=False)
    assert (
        submit(Job.load(job_file), to="openjd", wishes=wishes, send=True).sent == "job-1 bundle submit --yes"
    )
    program.write_text("#!/bin/sh\necho no farm is set >&2\nexit 1\n")
    with pytest.raises(TransientError, match="no farm is set"):
        submit(Job.load(job_file), to="openjd", wishes=wishes, send=True)


def test_sending_to_cuebot_gives_the_jobs_name(job_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[str] = []

    def launch(text: str) -> list[object]:
        got.append(text)
        return [types.SimpleNamespace(name=lambda: "alpha-sh010-job")]

    client = types.ModuleType("opencue")
    client.api = types.SimpleNamespace(launchSpecAndWait=launch)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "opencue", client)
    wishes = Wishes(check=False, show="alpha")
    made = submit(Job.load(job_file), to="opencue", wishes=wishes, send=True)
    assert made.sent == "alpha-sh010-job"
    assert got == [made.files[0].read_text()]


def test_a_client_that_is_not_there_is_told_with_what_to_install(
    job_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setitem(sys.modules, "opencue", None)
    for to in ("openjd", "opencue"):
        with pytest.raises(MissingPartError, match="pip install"):
            submit(Job.load(job_file), to=to, wishes=Wishes(check=False, show="a"), send=True)  # type: ignore[arg-type]
    with pytest.raises(JobError, match="--send"):
        submit(Job.load(job_file), to="commands", wishes=Wishes(check=False), send=True)


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_openjds_own_runner_makes_every_frame(tmp_path: Path) -> None:
    """Needs `openjd` (pip install openjd-cli) on PATH or as $STIT_OPENJD. With the real engine."""
    program = os.environ.get("STIT_OPENJD") or shutil.which("openjd")
    if program is None:
        pytest.skip("openjd is not here: pip install openjd-cli")
    from stit_vfx.demo import write_plate

    write_plate(tmp_path / "plates", frames=(1001, 1002, 1003))
    engine = tmp_path / "stit"
    root = Path(__file__).resolve().parents[2]
    engine.write_text(f'#!/bin/sh\nPYTHONPATH={root} exec {sys.executable} -m stit_vfx "$@"\n')
    engine.chmod(0o755)
    quick = {"tune": {"steps": 3}, "stitch": {"steps": 2}, "quality": "draft"}
    output = {"folder": str(tmp_path / "out")}
    job = Job.from_options(plate=str(tmp_path / "plates"), edits=["smile=-0.7"], output=output, **quick)
    made = submit(job, to="openjd", wishes=Wishes(chunk=2, engine=(str(engine),)))
    words = [program, "run", str(made.files[-1]), "--extensions", "TASK_CHUNKING"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Chunks run: 3" in done.stdout
    comp = made.files[-1].parents[3] / "out" / "v001" / "comp"
    assert len(list(comp.glob("*.exr"))) == 3
