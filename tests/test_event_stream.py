"""The stream `stit-events/1`, as a host, a farm and a person read it."""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stit_vfx.errors import CancelledError, NoFaceError
from stit_vfx.events import MAX_LINE_BYTES, Cancel, Reporter, encode
from stit_vfx.options import EventFormat
from stit_vfx.progress import Estimate, as_time


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Pipe:
    """A reporter on a pipe: what it wrote is read back with `lines`."""

    def __init__(self, form: EventFormat) -> None:
        self.clock, self.text = Clock(), io.StringIO()
        self.source, self.sink = os.pipe()
        os.set_blocking(self.source, False)
        self.reporter = Reporter(form, stream=self.text, output=self.sink, clock=self.clock)

    def lines(self) -> list[str]:
        try:
            return os.read(self.source, 1 << 20).decode("ascii").splitlines()
        except BlockingIOError:
            return []

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines()]


@pytest.fixture
def jsonl() -> Iterator[Pipe]:
    yield from opened("jsonl")


@pytest.fixture
def openjd() -> Iterator[Pipe]:
    yield from opened("openjd")


@pytest.fixture
def text() -> Iterator[Pipe]:
    yield from opened("text")


def opened(form: EventFormat) -> Iterator[Pipe]:
    pipe = Pipe(form)
    yield pipe
    for end in (pipe.source, pipe.sink):
        os.close(end)


def test_events_are_numbered_and_timed_and_end_comes_last(jsonl: Pipe) -> None:
    jsonl.reporter.hello(job="sh010.json", device="cpu")
    jsonl.clock.now += 1.5
    jsonl.reporter.stage("align", "start", total=3)
    jsonl.reporter.end("ok", 0)
    jsonl.reporter.log("info", "too late")
    hello, stage, end = jsonl.events()
    assert [hello["seq"], stage["seq"], end["seq"]] == [1, 2, 3]
    assert (hello["ev"], hello["proto"], hello["job"], hello["device"]) == (
        "hello",
        "1.0",
        "sh010.json",
        "cpu",
    )
    assert hello["pid"] == os.getpid()
    assert hello["engine"].startswith("stit_vfx ")
    assert stage == {"ev": "stage", "seq": 2, "t": 1.5, "stage": "align", "state": "start", "total": 3}
    assert end == {"ev": "end", "seq": 3, "t": 1.5, "status": "ok", "exit": 0}


def test_an_error_carries_its_code_and_its_three_parts(jsonl: Pipe) -> None:
    jsonl.reporter.error(NoFaceError("no face found", where="a.exr", frame=1004, hint="Give --face"))
    (event,) = jsonl.events()
    assert event["code"] == "STIT-E311"
    assert (event["msg"], event["where"], event["frame"]) == ("no face found", "a.exr", 1004)
    assert event["hint"] == "Give --face"
    assert event["fatal"] is True
    assert event["text"] == "a.exr, frame 1004: no face found. Give --face. (STIT-E311)"


def test_a_warning_is_said_once_for_each_frame(jsonl: Pipe) -> None:
    for frame in (1, 1, 2, None, None):
        jsonl.reporter.warn("STIT-W301", frame=frame)
    events = jsonl.events()
    assert [event.get("frame") for event in events] == [1, 2, None]
    assert {event["code"] for event in events} == {"STIT-W301"}
    assert {event["level"] for event in events} == {"warning"}


def test_at_most_ten_progress_events_a_second_and_always_the_last_of_a_step(jsonl: Pipe) -> None:
    jsonl.reporter.stage("tune", "start")
    for step in range(1, 1001):
        jsonl.clock.now += 0.002
        jsonl.reporter.progress("tune", step, 1000)
    events = [event for event in jsonl.events() if event["ev"] == "progress"]
    assert 18 <= len(events) <= 21
    assert events[-1]["done"] == 1000


def test_frac_never_falls_and_reaches_one(jsonl: Pipe) -> None:
    reporter = jsonl.reporter
    for step in ("align", "tune", "align", "stitch", "composite", "invert", "edit"):
        reporter.stage(step, "start")
        for done in (1, 5, 3, 10):
            jsonl.clock.now += 0.3
            reporter.progress(step, done, 10)
        reporter.stage(step, "done")
    fracs = [event["frac"] for event in jsonl.events() if event["ev"] == "progress"]
    assert fracs == sorted(fracs)
    assert fracs[-1] == 1.0


@given(st.lists(st.tuples(st.sampled_from(["align", "tune", "other"]), st.integers(0, 9), st.integers(0, 9))))
def test_an_estimate_stays_a_share_whatever_it_is_told(calls: list[tuple[str, int, int]]) -> None:
    clock, last = Clock(), 0.0
    estimate = Estimate(clock=clock)
    for step, done, total in calls:
        clock.now += 1
        frac, eta_s = estimate.update(step, done, total)
        assert last <= frac <= 1
        assert eta_s is None or eta_s >= 0
        last = frac


def test_the_time_left_is_the_measured_time_scaled_by_the_costs_still_to_come() -> None:
    clock = Clock()
    estimate = Estimate(clock=clock)
    estimate.plan({"align": 10.0, "tune": 30.0, "stitch": 60.0})
    estimate.stage("align", done=True)  # on disk already: costs nothing and tells nothing
    estimate.stage("tune", done=False)
    clock.now += 15
    # 15 of 90 units in 15 s: a second a unit, and 75 units to go
    assert estimate.update("tune", 1, 2) == (0.25, 75)


def test_no_time_is_told_before_there_is_something_to_tell_it_from() -> None:
    clock = Clock()
    estimate = Estimate(clock=clock)
    estimate.stage("tune", done=False)
    clock.now += 1
    assert estimate.update("tune", 1, 2)[1] is None


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (99, "99 s"), (100, "2 min"), (3600, "60 min"), (11100, "3 h 05 min")]
)
def test_times_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert as_time(seconds) == said


def test_a_line_is_ascii_json_without_nan() -> None:
    event = {
        "ev": "log",
        "seq": 1,
        "t": 0.0,
        "msg": "Größe\nzwei",
        "nan": math.nan,
        "inf": -math.inf,
        "np": np.float32(0.5),
        "count": np.int64(3),
        "path": Path("a/b"),
        "flag": True,
    }
    line = encode(event)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    read = json.loads(line.decode("ascii"))
    assert read["msg"] == "Größe\nzwei"
    assert (read["nan"], read["inf"], read["np"], read["count"]) == (None, None, 0.5, 3)
    assert (read["path"], read["flag"]) == ("a/b", True)


@pytest.mark.parametrize(
    "fields",
    [
        {"msg": "x" * 100_000},
        {"msg": "é" * 16_000},
        {"outputs": [{"path": "p" * 60}] * 1000},
        {"outputs": [{"path": "p" * 6000}] * 100},
        {f"name{n}": "x" * 50 for n in range(1000)},
    ],
)
def test_a_line_never_passes_16_kb_and_says_when_it_was_cut(fields: dict[str, Any]) -> None:
    line = encode({"ev": "log", "seq": 9, "t": 1.0, **fields})
    assert len(line) <= MAX_LINE_BYTES
    read = json.loads(line)
    assert (read["ev"], read["seq"], read["truncated"]) == ("log", 9, True)


def test_a_reader_that_goes_away_cancels_the_run() -> None:
    source, sink = os.pipe()
    os.close(source)
    reporter = Reporter("jsonl", output=sink)
    reporter.log("info", "anyone there?")
    assert reporter.cancel.reason == "stdout_closed"
    with pytest.raises(CancelledError):
        reporter.cancel.check()
    os.close(sink)


def test_the_first_reason_to_cancel_stays() -> None:
    cancel = Cancel()
    cancel.check()
    assert not cancel.requested()
    cancel.request("command")
    cancel.request("stdin_closed")
    assert cancel.reason == "command"


def test_openjd_gets_its_three_words_and_no_line_that_looks_like_one(openjd: Pipe) -> None:
    openjd.reporter.hello(job="a")
    openjd.reporter.stage("stitch", "start", total=2)
    openjd.reporter.progress("stitch", 2, 2, frame=1002)
    openjd.reporter.log("info", "openjd_env settings loaded")
    openjd.reporter.error(NoFaceError("no face found", frame=1002))
    assert openjd.lines() == [
        "openjd_status: stitch start",
        "openjd_progress: 36.00",
        "openjd_fail: frame 1002: no face found. (STIT-E311)",
    ]
    assert "openjd_env settings loaded" in openjd.text.getvalue()
    assert not any(line.startswith("openjd_") for line in openjd.text.getvalue().splitlines())


def test_a_log_reader_gets_one_line_per_frame(text: Pipe) -> None:
    reporter = text.reporter
    reporter.hello(job="a")
    reporter.stage("composite", "start", total=3)
    for frame in (1001, 1002, 1003):
        reporter.progress("composite", frame - 1000, 4, frame=frame)
        reporter.frame(frame, "ok", [{"kind": "comp", "path": f"{frame}.exr"}])
    reporter.result([{"kind": "comp", "path": "a.####.exr"}])
    reporter.end("ok", 0)
    lines = text.text.getvalue().splitlines()
    assert [line for line in lines if line.startswith("frame ")] == [
        "frame 1001: ok",
        "frame 1002: ok",
        "frame 1003: ok",
    ]
    assert lines[0] == "composite: start, 3 to do"
    assert lines[-1] == "comp: a.####.exr"
    assert text.lines() == []


def test_a_person_at_a_terminal_gets_a_bar_with_the_time_left() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    clock, screen = Clock(), Terminal()
    reporter = Reporter("text", stream=screen, clock=clock)
    reporter.plan({"tune": 1.0})
    reporter.stage("tune", "start")
    clock.now += 30
    reporter.progress("tune", 25, 100)
    reporter.frame(1001, "ok")
    reporter.log("warning", "something odd", code="STIT-W301")
    shown = screen.getvalue()
    bar = "[######..................]  25 %  tune  90 s left"
    assert bar in shown
    assert "frame 1001" not in shown
    # the bar is wiped before a line is written over it
    assert shown.endswith("\r" + " " * len(bar) + "\rwarning: something odd (STIT-W301)\n")


def test_nothing_but_errors_is_said_where_nothing_was_asked_for() -> None:
    said = io.StringIO()
    reporter = Reporter("none", stream=said)
    reporter.hello(job="a")
    reporter.stage("align", "start")
    reporter.warn("STIT-W301")
    assert said.getvalue() == ""
    reporter.error(NoFaceError("no face found"))
    assert said.getvalue() == "no face found. (STIT-E311)\n"


def test_a_log_file_gets_every_event_whatever_the_format(tmp_path: Path, text: Pipe) -> None:
    path = tmp_path / "logs" / "run.jsonl"
    text.reporter.log_to(path)
    text.reporter.stage("align", "start")
    text.reporter.beat()
    stage, beat = (json.loads(line) for line in path.read_text().splitlines())
    assert stage["stage"] == "align"
    assert beat["what"] == "align"
    assert 5 < beat["rss_mb"] < 100_000
