"""The engine as a host or a farm runs it: a child process, its pipes, its signals and its exit status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ENGINE = (sys.executable, str(HERE / "fake_engine.py"))
JOB = {
    "schema": "stit.job/1",
    "plate": "a.####.exr",
    "frames": "1001-1003",
    "edits": [{"direction": "smile", "strength": 0.5}],
}


@pytest.fixture
def job(tmp_path: Path) -> Path:
    path = tmp_path / "sh010.json"
    path.write_text(json.dumps(JOB))
    return path


def environment(fake: dict[str, Any] | None = None) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "FAKE": json.dumps(fake or {}), "STIT_EVENTS": "text"}


def engine(*args: str, fake: dict[str, Any] | None = None, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ENGINE, *args],
        env={**environment(fake), **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def events_of(run: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    events = [json.loads(line) for line in run.stdout.splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    return events


def test_a_whole_run_is_a_clean_stream_whatever_libraries_print_on_fd_1(job: Path) -> None:
    run = engine("run", str(job), "--events", "jsonl", fake={"noise": True})
    events = events_of(run)
    assert run.returncode == 0
    assert (events[0]["ev"], events[-1]["ev"]) == ("hello", "end")
    assert events[-1]["status"] == "ok"
    (result,) = [event for event in events if event["ev"] == "result"]
    assert result["version"] == "v001"
    assert result["outputs"][0]["path"].endswith("renders/comp.####.exr")
    assert run.stderr.count("noise from Python") == 3
    assert run.stderr.count("noise from C") == 3


def test_openjd_words_go_to_stdout_and_nothing_else(job: Path) -> None:
    run = engine("run", str(job), "--events", "openjd", "--frames", "1003", fake={"noise": True})
    assert run.returncode == 0
    assert run.stdout.splitlines() == ["openjd_status: stitch start", "openjd_progress: 36.00"]


def test_a_person_gets_text_and_a_machine_json_on_stdout(job: Path) -> None:
    run = engine("run", str(job), "--edit", "age=-0.5", "--json")
    assert json.loads(run.stdout)["measured"] == {"direction": "age"}
    assert "frame 1002: ok" in run.stderr.splitlines()


def test_a_partial_run_says_so(job: Path) -> None:
    run = engine("run", str(job), "--events", "jsonl", fake={"exit": 5})
    assert run.returncode == 5
    assert (events_of(run)[-1]["status"], events_of(run)[-1]["exit"]) == ("partial", 5)


@pytest.mark.parametrize(
    ("how", "code", "exit_status"),
    [
        ("no face", "STIT-E311", 3),
        ("disk full", "STIT-E402", 4),
        ("memory", "STIT-E404", 4),
        ("libGL", "STIT-E405", 4),
    ],
)
def test_an_error_is_one_line_an_event_and_an_exit_status(
    job: Path, how: str, code: str, exit_status: int
) -> None:
    run = engine("run", str(job), "--events", "jsonl", fake={"at_1002": how})
    *_, error, end = events_of(run)
    assert run.returncode == exit_status
    assert (error["ev"], error["code"], error["fatal"]) == ("error", code, True)
    assert (end["ev"], end["status"], end["exit"]) == ("end", "failed", exit_status)
    assert run.stderr.splitlines() == [error["text"]]


def test_a_bug_is_one_line_and_a_log_file(job: Path, tmp_path: Path) -> None:
    logs = tmp_path / "renders" / "a.stit" / "logs"
    logs.mkdir(parents=True)
    run = engine("run", str(job), fake={"at_1002": "bug"})
    (log,) = logs.iterdir()
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    assert run.stderr.splitlines()[-1].endswith(f"the log {log}. (STIT-E500)")
    assert "KeyError: 'a bug'" in log.read_text()


def test_a_bug_shows_its_traceback_to_who_asks(job: Path, tmp_path: Path) -> None:
    run = engine("run", str(job), fake={"at_1002": "bug"}, STIT_DEBUG="1", TMPDIR=str(tmp_path))
    assert "Traceback" in run.stderr


def test_a_crash_leaves_no_end_event(job: Path) -> None:
    run = engine("run", str(job), "--events", "jsonl", fake={"at_1002": "segv"})
    assert run.returncode == -signal.SIGSEGV
    assert "end" not in {event["ev"] for event in events_of(run)}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--fram", "1"], "--frames"),
        (["nonsense"], "nonsense"),
        (["run"], "no job"),
        (["run", "absent.json"], "absent.json"),
        (["run", "--plate", "a.####.exr"], "no edit"),
        (["run", "--plate", "a.####.exr", "--frames", "1-9:2", "--edit", "smile=1"], "STIT-E103"),
        (["run", "--plate", "a.####.exr", "--frames", "1", "--edit", "smile=2"], "edits[0].strength"),
        (["preview", "absent.json"], "stit preview --help"),
    ],
)
def test_bad_words_end_with_2_and_one_line_with_a_code(words: list[str], said: str) -> None:
    run = engine(*words)
    assert run.returncode == 2
    (line,) = run.stderr.splitlines()
    assert said in line
    assert "(STIT-E1" in line
    assert run.stdout == ""


def test_a_host_is_told_of_bad_words_in_its_own_language(tmp_path: Path) -> None:
    newer = tmp_path / "newer.json"
    newer.write_text(json.dumps({**JOB, "schema": "stit.job/2"}))
    for words, code in ((["run", "--fram", "1"], "STIT-E100"), (["run", str(newer)], "STIT-E102")):
        run = engine(*words, "--events", "jsonl")
        hello, error, end = events_of(run)
        assert run.returncode == 2
        assert (hello["ev"], error["code"], end["exit"]) == ("hello", code, 2)


def test_a_chunk_does_its_frames_of_the_job_and_no_others(job: Path) -> None:
    run = engine("run", str(job), "--events", "jsonl", "--frames", "1002-1003")
    frames = [event["frame"] for event in events_of(run) if event["ev"] == "frame"]
    assert frames == [1002, 1003]
    outside = engine("run", str(job), "--frames", "1003-1005")
    assert outside.returncode == 2
    assert "the job does not have 1004-1005" in outside.stderr


def test_a_dry_run_prints_the_plan_and_does_nothing(job: Path) -> None:
    assert engine("run", str(job), "--dry-run").stdout == "3 frames to do\n"
    assert json.loads(engine("run", str(job), "--dry-run", "--json").stdout) == {"frames": 3}


class Child:
    """A running engine; `read` gives its next event."""

    def __init__(self, job: Path, *args: str) -> None:
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [*ENGINE, "run", str(job), "--events", "jsonl", *args],
            env=environment({"seconds": 30}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def stdin(self) -> IO[bytes]:
        assert self.process.stdin is not None
        return self.process.stdin

    def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def tell(child: Child) -> None:
    child.stdin.write(b'not json\n[1]\n{"cmd": "cancel"}\n')
    child.stdin.flush()


@pytest.mark.parametrize(
    ("control", "act", "reason"),
    [
        ("stdin", tell, "command"),
        ("stdin", lambda child: child.stdin.close(), "stdin_closed"),
        ("none", lambda child: child.process.send_signal(signal.SIGTERM), "sigterm"),
        ("none", lambda child: child.process.send_signal(signal.SIGINT), "sigint"),
    ],
)
def test_a_run_is_cancelled_within_a_second_and_says_why(
    job: Path, control: str, act: Callable[[Child], None], reason: str
) -> None:
    child = Child(job, "--control", control, "--heartbeat", "0.2")
    try:
        hello = child.read()
        assert time.monotonic() - child.started < 1.0
        assert hello["ev"] == "hello"
        assert ("cancel" in hello["caps"]) == (control == "stdin")
        while child.read()["ev"] != "heartbeat":
            pass
        asked = time.monotonic()
        act(child)
        while (event := child.read())["ev"] != "end":
            pass
        assert (event["status"], event["reason"], event["exit"]) == ("cancelled", reason, 130)
        assert child.process.wait(timeout=10) == 130
        assert time.monotonic() - asked < 1.5
    finally:
        child.close()


def test_a_farm_that_gives_no_stdin_is_not_taken_for_a_host_that_left(job: Path) -> None:
    assert engine("run", str(job)).returncode == 0
    assert engine("run", str(job), "--control", "stdin", fake={"seconds": 30}).returncode == 130


def test_a_run_whose_reader_is_gone_stops_by_itself(job: Path) -> None:
    child = Child(job)
    try:
        assert child.read()["ev"] == "hello"
        assert child.process.stdout is not None
        child.process.stdout.close()
        assert child.process.wait(timeout=10) == 130
    finally:
        child.close()


def test_faces_are_told_as_an_event_to_a_host_that_asked_for_events(tmp_path: Path) -> None:
    from stit_vfx.demo import write_plate

    plate, picture = write_plate(tmp_path / "plates", frames=(1001,)), tmp_path / "faces.png"
    words = [sys.executable, "-m", "stit_vfx", "faces", plate, "--picture", str(picture), "--events", "jsonl"]
    run = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=100, check=False)
    events = events_of(run)
    assert run.returncode == 0, run.stderr
    assert [events[0]["ev"], *(event["ev"] for event in events[-2:])] == ["hello", "result", "end"]
    (face,) = events[-2]["faces"]
    assert (face["id"], face["frames"], len(face["box"])) == (1, "1001", 4)
    assert events[-2]["outputs"] == [{"kind": "faces", "path": str(picture)}]
    assert picture.exists()
