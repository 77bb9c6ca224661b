"""The session against an engine that misbehaves in every way that pipes and processes allow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Iterator, List

import pytest
from stit_session import FINAL_STATES, EngineMissing, Graces, Session
from stit_session.session import LOG_LINES, MAX_WAITING_EVENTS

HERE = Path(__file__).resolve().parent
HELLO = {"ev": "hello", "proto": "1.0", "engine": "stit_vfx 0.1.0", "caps": ["preview"], "pid": 1}
OUTPUTS = [
    {"kind": "comp", "path": "/r/comp/a.####.exr", "frames": "1001-1002", "colorspace": "acescg"},
    {"kind": "matte", "path": "/r/matte/a.####.exr", "frames": "1001-1002"},
]
RESULT = {"ev": "result", "outputs": OUTPUTS, "version": "v001"}
END = {"ev": "end", "status": "ok", "exit": 0}
QUICK = Graces(ask=0.2, terminate=0.2, linger=0.2, drain=0.2)
posix = pytest.mark.skipif(os.name == "nt", reason="signals and process groups are POSIX's")

Steps = List[List[Any]]


def said(*events: Any) -> Steps:
    return [["say", event] for event in events]


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Callable[..., Session]]:
    """Starts a session with a puppet that follows the steps; leaves none alive."""
    sessions: List[Session] = []

    def start(*steps: List[Any], **options: Any) -> Session:
        script = tmp_path / "script{}.json".format(len(sessions))
        script.write_text(json.dumps(steps))
        session = Session([sys.executable, str(HERE / "puppet.py")], [str(script)], **options)
        sessions.append(session)
        return session.start()

    yield start
    for session in sessions:
        session.kill()
        assert session.wait(30)


@pytest.fixture
def ended(play: Callable[..., Session]) -> Callable[..., Session]:
    """The same, waited for."""

    def run(*steps: List[Any], **options: Any) -> Session:
        session = play(*steps, **options)
        assert session.wait(60)
        return session

    return run


def wait_for(path: Path, text: str = "") -> str:
    for _ in range(6000):
        if path.exists() and text in path.read_text():
            return path.read_text()
        time.sleep(0.01)
    raise AssertionError("{} never held {!r}".format(path, text))


def until(condition: Callable[[], Any]) -> None:
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it never came true")


def is_gone(pid: int) -> bool:
    """No such process, or a corpse that nobody has fetched."""
    try:
        stat = Path("/proc/{}/stat".format(pid)).read_text()
    except OSError:
        try:
            os.kill(pid, 0)
        except OSError:
            return True
        return False
    return stat.rpartition(")")[2].split()[0] in "ZX"


# A run that goes well ---------------------------------------------------------------------------------------


def test_a_good_run_is_done_and_names_its_outputs(ended: Callable[..., Session]) -> None:
    told = {
        "ev": "progress",
        "stage": "stitch",
        "done": 1,
        "total": 2,
        "frame": 1001,
        "frac": 0.5,
        "eta_s": 7,
    }
    warning = {"ev": "log", "level": "warning", "code": "STIT-W302", "msg": "guessed", "frame": 1001}
    done = {"ev": "frame", "frame": 1001, "status": "ok", "outputs": []}
    session = ended(*said(HELLO, told, warning, done, RESULT, END))
    assert (session.state, session.exit_status, session.returncode) == ("done", 0, 0)
    assert session.error is None
    assert session.outputs == OUTPUTS
    assert session.output("matte") == OUTPUTS[1]
    assert session.output("sheet") is None
    assert session.frames == {1001: "ok"}
    assert [(notice.code, notice.text, notice.frame) for notice in session.notices] == [
        ("STIT-W302", "guessed", 1001)
    ]
    assert (session.progress.fraction, session.progress.eta_s) == (1.0, 0.0)
    assert [event.kind for event in session.poll()] == ["hello", "progress", "log", "frame", "result", "end"]
    assert session.poll() == []
    assert session.hello is not None
    assert session.hello["engine"] == "stit_vfx 0.1.0"
    assert session.result is not None
    assert session.result.get("version") == "v001"


def test_progress_is_seen_while_it_runs_and_the_time_left_counts_down(
    play: Callable[..., Session], tmp_path: Path
) -> None:
    now = [100.0]
    told = {"ev": "progress", "stage": "tune", "done": 3, "total": 9, "frac": 0.25, "eta_s": 60}
    session = play(*said(HELLO, told), ["hang"], clock=lambda: now[0])
    until(lambda: session.progress.fraction)
    assert session.state == "running"
    assert session.progress[:4] == (0.25, "tune", None, 60.0)
    now[0] += 15
    assert session.progress.eta_s == 45.0
    now[0] += 1000
    assert session.progress.eta_s == 0.0


def test_the_protocols_words_are_added_unless_they_were_said() -> None:
    plain = Session(["stit"], ["run", "a.json"])
    assert plain.command_line == ["stit", "run", "a.json", "--events", "jsonl", "--control", "stdin"]
    own = Session(["stit"], ["run", "a.json", "--control=none", "--events", "jsonl"])
    assert own.command_line == ["stit", "run", "a.json", "--control=none", "--events", "jsonl"]


def test_a_partial_run_is_done_and_says_so(ended: Callable[..., Session]) -> None:
    session = ended(*said(HELLO, RESULT, {"ev": "end", "status": "partial", "exit": 5}), ["exit", 5])
    assert (session.state, session.exit_status, session.partial) == ("done", 5, True)


def test_an_error_has_its_four_parts_and_the_engines_exit_status(ended: Callable[..., Session]) -> None:
    error = {
        "ev": "error",
        "code": "STIT-E302",
        "msg": "is damaged",
        "hint": "Copy it again",
        "where": "a.1001.exr",
        "frame": 1001,
        "fatal": True,
    }
    session = ended(
        ["err", "reading"], *said(HELLO, error, {"ev": "end", "status": "failed", "exit": 3}), ["exit", 3]
    )
    assert (session.state, session.exit_status) == ("failed", 3)
    assert session.error is not None
    assert session.error.text == "a.1001.exr, frame 1001: is damaged. Copy it again. (STIT-E302)"
    assert session.error.title == "The plate or the face cannot be used"
    assert session.error.dialog(log_lines=5).split("\n\n") == [
        "Is damaged.",
        "a.1001.exr, frame 1001",
        "Copy it again.",
        "STIT-E302",
        "Last lines of the engine:\nreading",
    ]


# Output that is none ----------------------------------------------------------------------------------------

GARBAGE = {
    "words": "Downloading: 100%\n",
    "an array": "[1, 2]\n",
    "a number": "17\n",
    "no name": '{"seq": 3}\n',
    "a name that is no text": '{"ev": 7}\n',
    "half an object": '{"ev": "progress", "frac": 0.\n',
    "bytes that are no UTF-8": '{"ev": "log", "msg": "caf\xe9"}\n',
    "UTF-16": "\xff\xfe{\x00}\x00\n",
    "zeros": "\x00\x00\x00\n",
    "not a number": '{"ev": "progress", "frac": NaN}\n',
    "infinity": '{"ev": "progress", "frac": -Infinity}\n',
    "deep nesting": "[" * 100_000 + "\n",
    "a number of many digits": '{"ev": "progress", "done": ' + "9" * 500_000 + "}x\n",
    "two events on one line": '{"ev": "stage"}{"ev": "stage"}\n',
    "a terminal's colours": "\x1b[31mred\x1b[0m\n",
}


@pytest.mark.parametrize("name", list(GARBAGE))
def test_a_line_that_is_no_event_goes_to_the_log_and_stops_nothing(
    ended: Callable[..., Session], name: str
) -> None:
    session = ended(
        *said(HELLO), ["raw", GARBAGE[name]], *said({"ev": "log", "level": "info", "msg": "on"}, RESULT, END)
    )
    assert session.state == "done"
    assert session.garbage_lines == 1
    assert [event.kind for event in session.poll()] == ["hello", "log", "result", "end"]
    (line,) = session.log_tail()
    assert line.startswith("stdout: ")
    assert line.isprintable()
    assert len(line) <= 2100


def test_empty_lines_and_windows_line_ends_are_no_garbage(ended: Callable[..., Session]) -> None:
    lines = "".join("\r\n\n  \n" + json.dumps(event) + "\r\n" for event in (HELLO, RESULT, END))
    session = ended(["raw", lines])
    assert (session.state, session.garbage_lines) == ("done", 0)


def test_a_line_of_many_megabytes_is_cut_and_the_next_is_read(ended: Callable[..., Session]) -> None:
    session = ended(*said(HELLO), ["times", 300, ["raw", "x" * 20_000]], ["raw", "\n"], *said(RESULT, END))
    assert (session.state, session.garbage_lines) == ("done", 1)
    assert len(session.log_tail()[0]) < 600


def test_a_long_event_is_still_an_event(ended: Callable[..., Session]) -> None:
    message = {"ev": "log", "level": "warning", "msg": "y" * 100_000}
    session = ended(*said(HELLO, message, RESULT, END))
    assert session.state == "done"
    assert len(session.notices[0].text) == 2000


def test_an_event_that_trickles_in_byte_by_byte_arrives_whole(ended: Callable[..., Session]) -> None:
    text = "".join(json.dumps(dict(event, seq=n)) + "\n" for n, event in enumerate((HELLO, RESULT, END), 1))
    session = ended(["slowly", text])
    assert (session.state, session.lost_events) == ("done", 0)


def test_half_a_line_blocks_nobody_and_is_not_believed(play: Callable[..., Session]) -> None:
    session = play(*said(HELLO), ["raw", json.dumps(END)], ["hang"])
    until(lambda: session.hello)
    assert session.poll()[0].kind == "hello"
    assert session.poll() == []
    assert session.state == "running"


def test_a_last_line_without_its_end_counts(ended: Callable[..., Session]) -> None:
    session = ended(*said(HELLO, RESULT), ["raw", json.dumps(END)], ["exit", 0])
    assert session.state == "done"


def test_unknown_events_are_passed_on_and_change_nothing(ended: Callable[..., Session]) -> None:
    unknown = [{"ev": "thumbnail", "x": 1}, {"ev": "__init__"}, {"ev": "verdict"}, {"ev": ""}]
    session = ended(*said(HELLO, *unknown, RESULT, END))
    assert session.state == "done"
    assert [event.kind for event in session.poll()][1:5] == ["thumbnail", "__init__", "verdict", ""]


def test_gaps_in_the_numbers_are_lost_events(ended: Callable[..., Session]) -> None:
    session = ended(*said(dict(HELLO, seq=1), dict(RESULT, seq=5), dict(END, seq=6)))
    assert (session.state, session.lost_events) == ("done", 3)


def test_an_engine_whose_clock_and_counts_run_wild_harms_nobody(ended: Callable[..., Session]) -> None:
    wild: List[Any] = [
        {"t": -1e300, "frac": 0.5, "eta_s": -5, "done": -3, "total": "many", "frame": 1.5, "stage": 7},
        {"t": "noon", "frac": 0.2, "eta_s": "soon", "seq": "first"},
        {"t": 1e308, "frac": True, "eta_s": [], "seq": -4},
        {"t": None, "frac": -2, "eta_s": True, "frame": 10**30, "done": None},
        {"t": 10**400, "frac": 10**400, "eta_s": 10**400, "total": 10**400, "seq": 10**30},
        {"frac": None, "stage": None},
    ]
    end = {"ev": "end", "status": "failed", "exit": 4}
    session = ended(*said(HELLO, *(dict(each, ev="progress") for each in wild), end), ["exit", 4])
    assert session.progress == (0.5, "", None, None, 0, 0)
    assert (session.state, session.exit_status, session.garbage_lines) == ("failed", 4, 0)


def test_a_fraction_never_runs_backwards_nor_over_one(ended: Callable[..., Session]) -> None:
    told = [{"ev": "progress", "frac": frac} for frac in (0.3, 0.1, 17, 0.9)]
    session = ended(*said(HELLO, *told), ["exit", 1])
    assert session.progress.fraction == 1.0


# Floods -----------------------------------------------------------------------------------------------------


def test_a_flood_on_stderr_neither_blocks_the_engine_nor_fills_the_memory(
    ended: Callable[..., Session],
) -> None:
    session = ended(
        *said(HELLO), ["times", 30_000, ["err", "line %d"]], ["err", "z" * 50_000], *said(RESULT, END)
    )
    assert session.state == "done"
    kept = session.log_tail(10**6)
    assert len(kept) == LOG_LINES
    assert kept[-2] == "line 29999"
    assert set(kept[-1]) == {"z"}
    assert len(kept[-1]) <= 4000
    assert session.log_tail(2) == kept[-2:]
    assert session.log_tail(0) == []


def test_a_progress_bar_on_stderr_is_a_line_each_time_it_is_drawn(ended: Callable[..., Session]) -> None:
    session = ended(*said(HELLO), ["err", ""], ["err", "10%\r20%\r\xff\x1b[K30%"], *said(END))
    assert session.log_tail() == ["10%", "20%", "\\xff [K30%"]


def test_events_that_no_host_fetches_are_dropped_from_the_oldest(ended: Callable[..., Session]) -> None:
    told = {"ev": "progress", "stage": "tune", "done": 1, "total": 2, "frac": 0.5}
    session = ended(*said(HELLO), ["times", MAX_WAITING_EVENTS + 100, ["say", told]], *said(RESULT, END))
    events = session.poll()
    assert len(events) == MAX_WAITING_EVENTS
    assert events[-1].kind == "end"
    assert (session.state, session.outputs) == ("done", OUTPUTS)


# Ends that are none -----------------------------------------------------------------------------------------


def test_no_end_is_a_crash_whatever_the_exit_status_says(ended: Callable[..., Session]) -> None:
    session = ended(*said(HELLO, RESULT), ["exit", 0])
    assert (session.state, session.exit_status) == ("crashed", 1)
    assert session.error is not None
    assert session.error.code == "STIT-H105"


@posix
def test_a_crash_names_the_signal_and_what_it_was_at(ended: Callable[..., Session]) -> None:
    stage = {"ev": "stage", "stage": "tune", "state": "start"}
    session = ended(["err", "free(): invalid pointer"], *said(HELLO, stage), ["signal", int(signal.SIGSEGV)])
    assert (session.state, session.exit_status, session.returncode) == ("crashed", 1, -signal.SIGSEGV)
    assert session.error is not None
    assert "while at tune: it ended by signal SIGSEGV" in session.error.text
    assert session.error.dialog(log_lines=3).endswith("free(): invalid pointer")


@posix
def test_a_kill_from_outside_is_explained_as_memory(ended: Callable[..., Session]) -> None:
    session = ended(*said(HELLO), ["signal", int(signal.SIGKILL)])
    assert session.error is not None
    assert "memory ran out" in session.error.text


def test_a_crash_after_a_fatal_error_tells_the_error(ended: Callable[..., Session]) -> None:
    error = {"ev": "error", "code": "STIT-E404", "msg": "not enough memory", "fatal": True}
    session = ended(*said(HELLO, error), ["exit", 9])
    assert (session.state, session.exit_status) == ("crashed", 9)
    assert session.error is not None
    assert session.error.code == "STIT-E404"


def test_an_error_and_then_a_good_end_is_a_failure(ended: Callable[..., Session]) -> None:
    error = {"ev": "error", "code": "STIT-E311", "msg": "no face", "fatal": True}
    session = ended(*said(HELLO, error, RESULT, END), ["exit", 0])
    assert (session.state, session.exit_status) == ("failed", 3)


def test_an_error_that_is_not_fatal_is_a_notice(ended: Callable[..., Session]) -> None:
    error = {"ev": "error", "code": "STIT-E302", "msg": "is damaged", "frame": 1002, "fatal": False}
    session = ended(*said(HELLO, error, RESULT, END))
    assert (session.state, session.error) == ("done", None)
    assert [(notice.code, notice.frame) for notice in session.notices] == [("STIT-E302", 1002)]


def test_a_good_end_and_a_failing_status_contradict_each_other(ended: Callable[..., Session]) -> None:
    session = ended(*said(HELLO, RESULT, END), ["exit", 4])
    assert (session.state, session.exit_status) == ("failed", 4)
    assert session.error is not None
    assert session.error.code == "STIT-H107"


@posix
def test_a_library_that_crashes_while_it_is_taken_down_costs_nothing(ended: Callable[..., Session]) -> None:
    session = ended(*said(HELLO, RESULT, END), ["signal", int(signal.SIGSEGV)])
    assert (session.state, session.exit_status, session.returncode) == ("done", 0, -signal.SIGSEGV)


@pytest.mark.parametrize(
    "result",
    [
        [],
        [{"ev": "result"}],
        [{"ev": "result", "outputs": "comp"}],
        [{"ev": "result", "outputs": [{"kind": "comp"}, "comp", None, {"kind": "comp", "path": 3}]}],
    ],
)
def test_done_without_what_was_asked_for_is_a_failure(
    ended: Callable[..., Session], result: List[Any]
) -> None:
    session = ended(*said(HELLO, *result, END), expects=("comp",))
    assert (session.state, session.exit_status) == ("failed", 1)
    assert session.error is not None
    assert (session.error.code, session.outputs) == ("STIT-H106", [])


@pytest.mark.parametrize("pattern", ["a.####.exr", "a.%04d.exr", "a.1001.exr"])
def test_what_is_named_must_be_on_disk(ended: Callable[..., Session], tmp_path: Path, pattern: str) -> None:
    outputs = [{"kind": kind, "path": str(tmp_path / kind / pattern)} for kind in ("comp", "matte")]
    steps = said(HELLO, {"ev": "result", "outputs": outputs}, END)
    (tmp_path / "comp").mkdir()
    (tmp_path / "comp" / "a.1001.exr").touch()
    assert ended(*steps, expects=("comp",)).state == "done"
    session = ended(*steps, expects=("comp", "matte"))
    assert (session.state, session.exit_status) == ("failed", 4)
    assert session.error is not None
    assert (session.error.code, session.error.where) == ("STIT-H106", str(tmp_path / "matte" / pattern))
    (tmp_path / "matte").mkdir()
    (tmp_path / "matte" / "a.1001.exr.tmp").touch()
    (tmp_path / "matte" / "aX1001.exr").touch()
    assert ended(*steps, expects=("matte",)).state == "failed"


def test_failed_without_a_word_is_still_an_error_with_text(ended: Callable[..., Session]) -> None:
    session = ended(*said(HELLO, {"ev": "end", "status": "failed"}), ["exit", 3])
    assert (session.state, session.exit_status) == ("failed", 3)
    assert session.error is not None
    assert "did not say why" in session.error.text


def test_an_error_of_wrong_types_is_still_an_error_with_text(ended: Callable[..., Session]) -> None:
    error = {"ev": "error", "code": 7, "msg": None, "hint": ["x"], "frame": "one", "where": {}}
    session = ended(*said(HELLO, error, {"ev": "end", "status": "failed", "exit": "three"}), ["exit", 1])
    assert session.error is not None
    assert session.error.text == "the engine failed and did not say why. (STIT-E500)"


def test_what_comes_after_the_end_is_not_believed(ended: Callable[..., Session]) -> None:
    late = {"ev": "error", "code": "STIT-E500", "msg": "late", "fatal": True}
    session = ended(*said(HELLO, RESULT, END, late, {"ev": "end", "status": "failed", "exit": 1}))
    assert session.state == "done"


# No hello, or a strange one ---------------------------------------------------------------------------------


def test_a_program_that_says_nothing_is_no_engine(ended: Callable[..., Session]) -> None:
    session = ended(["err", "usage: this is another program"], ["exit", 64])
    assert (session.state, session.exit_status) == ("crashed", 4)
    assert session.error is not None
    assert session.error.code == "STIT-H103"
    assert list(session.error.log) == ["usage: this is another program"]


def test_without_hello_not_even_a_good_end_is_believed(ended: Callable[..., Session]) -> None:
    session = ended(*said(RESULT, END))
    assert session.state == "crashed"
    assert session.error is not None
    assert session.error.code == "STIT-H103"


@pytest.mark.parametrize("proto", ["2.0", "0.9", "10.1", "newest", "", 1.0, None])
def test_another_major_version_is_refused_and_the_engine_stopped(
    ended: Callable[..., Session], tmp_path: Path, proto: Any
) -> None:
    heard = tmp_path / "heard"
    session = ended(["note", str(heard)], *said(dict(HELLO, proto=proto), RESULT), ["hang"], graces=QUICK)
    assert (session.state, session.exit_status, session.outputs) == ("failed", 4, [])
    assert session.error is not None
    assert session.error.code == "STIT-H104"
    assert ("Update the plug-in" in session.error.text) == (proto in ("2.0", "10.1"))
    assert "cancel" in heard.read_text()


def test_a_refused_engine_that_goes_on_talking_is_stopped_too(ended: Callable[..., Session]) -> None:
    chatter = ["times", 10**9, ["say", {"ev": "heartbeat"}]]
    session = ended(*said(dict(HELLO, proto="3.0")), chatter, graces=QUICK)
    assert session.state == "failed"


def test_a_later_minor_version_is_welcome(ended: Callable[..., Session]) -> None:
    session = ended(*said(dict(HELLO, proto="1.7"), RESULT, dict(END, mood="fine")))
    assert (session.state, session.protocol) == ("done", (1, 7))


def test_a_second_hello_changes_nothing(ended: Callable[..., Session]) -> None:
    session = ended(*said(HELLO, dict(HELLO, proto="9.0"), RESULT, END))
    assert (session.state, session.protocol) == ("done", (1, 0))


# Silence ----------------------------------------------------------------------------------------------------


def test_an_engine_that_never_says_hello_becomes_silent_and_is_left_alive(
    play: Callable[..., Session], tmp_path: Path
) -> None:
    now = [0.0]
    started = tmp_path / "started"
    session = play(["err", "starting"], ["make", str(started)], ["hang"], clock=lambda: now[0])
    wait_for(started)
    assert session.state == "starting"
    now[0] = 29.0
    assert session.state == "starting"
    now[0] = 31.0
    assert session.state == "silent"
    assert session.silent_s == 31.0
    assert session.returncode is None
    assert not session.finished


def test_a_sign_of_life_ends_the_silence(play: Callable[..., Session], tmp_path: Path) -> None:
    now = [0.0]
    go = tmp_path / "go"
    beat = {"ev": "heartbeat", "what": "tune 40"}
    session = play(*said(HELLO), ["until", str(go)], *said(beat), ["hang"], clock=lambda: now[0])
    until(lambda: session.hello)
    now[0] = 16.5
    assert session.state == "silent"
    go.touch()
    until(lambda: session.state == "running")
    assert session.silent_s == 0.0


def test_a_clock_that_jumps_back_does_not_matter(play: Callable[..., Session]) -> None:
    now = [1e6]
    session = play(*said(HELLO), ["hang"], clock=lambda: now[0])
    until(lambda: session.hello)
    now[0] = -1e6
    assert session.state == "running"
    assert session.silent_s == 0.0


# Cancel -----------------------------------------------------------------------------------------------------


def test_cancel_is_a_word_on_stdin_first(play: Callable[..., Session], tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    session = play(["obey", str(heard)], *said(HELLO), ["hang"])
    until(lambda: session.hello)
    session.cancel()
    session.cancel()
    assert session.state in ("cancelling", "cancelled")
    assert session.wait(60)
    assert (session.state, session.exit_status, session.returncode) == ("cancelled", 130, 130)
    assert json.loads(heard.read_text().splitlines()[0]) == {"cmd": "cancel"}
    assert session.error is None


@posix
def test_an_engine_that_hangs_on_cancel_is_terminated(play: Callable[..., Session]) -> None:
    session = play(*said(HELLO), ["hang"], graces=QUICK)
    until(lambda: session.hello)
    session.cancel()
    assert session.wait(60)
    assert (session.state, session.exit_status, session.returncode) == ("cancelled", 130, -signal.SIGTERM)


@posix
def test_an_engine_that_ignores_sigterm_is_killed_in_three_steps(
    play: Callable[..., Session], tmp_path: Path
) -> None:
    now, heard = [0.0], tmp_path / "heard"
    session = play(
        ["note", str(heard)],
        ["deaf", str(heard)],
        *said(HELLO),
        ["hang"],
        graces=Graces(ask=10, terminate=5),
        clock=lambda: now[0],
    )
    until(lambda: session.hello)
    session.cancel()
    assert wait_for(heard, "closed").splitlines() == ['{"cmd": "cancel"}', "closed"]
    assert not session.wait(0.3)
    now[0] = 10.0
    assert wait_for(heard, "SIGTERM").splitlines()[2:] == ["SIGTERM"]
    assert not session.wait(0.3)
    now[0] = 15.0
    assert session.wait(60)
    assert (session.state, session.returncode) == ("cancelled", -signal.SIGKILL)


@posix
def test_kill_is_at_once_and_takes_the_children_along(play: Callable[..., Session], tmp_path: Path) -> None:
    child, heard = tmp_path / "child", tmp_path / "heard"
    session = play(["child", str(child)], ["deaf", str(heard)], *said(HELLO), ["hang"], clock=lambda: 0.0)
    until(lambda: session.hello)
    session.kill()
    assert session.wait(60)
    assert (session.state, session.returncode) == ("cancelled", -signal.SIGKILL)
    until(lambda: is_gone(int(child.read_text())))


def test_an_engine_that_was_done_before_it_heard_of_the_cancel_is_done(play: Callable[..., Session]) -> None:
    session = play(*said(HELLO, RESULT, END), ["hang"], graces=QUICK)
    until(lambda: "end" in [event.kind for event in session.poll()])
    session.cancel()
    assert session.wait(60)
    assert (session.state, session.exit_status, session.outputs) == ("done", 0, OUTPUTS)


def test_an_engine_that_closed_its_stdin_does_not_harm_the_host(
    play: Callable[..., Session], tmp_path: Path
) -> None:
    session = play(["close", 0], *said(HELLO), ["hang"], graces=QUICK)
    until(lambda: session.hello)
    session.cancel()
    assert session.wait(60)
    assert session.state == "cancelled"


def test_cancel_after_the_end_changes_nothing(ended: Callable[..., Session]) -> None:
    session = ended(*said(HELLO, RESULT, END))
    session.cancel()
    session.kill()
    assert (session.state, session.exit_status) == ("done", 0)


@posix
def test_an_engine_that_says_end_and_stays_is_made_to_leave(ended: Callable[..., Session]) -> None:
    session = ended(*said(HELLO, RESULT, END), ["hang"], graces=QUICK)
    assert (session.state, session.exit_status, session.returncode) == ("done", 0, -signal.SIGTERM)


# Pipes ------------------------------------------------------------------------------------------------------


@posix
def test_a_child_that_holds_the_pipes_is_ended_with_the_engine(
    ended: Callable[..., Session], tmp_path: Path
) -> None:
    child = tmp_path / "child"
    session = ended(["child", str(child)], *said(HELLO, RESULT, END), ["exit", 0], graces=QUICK)
    assert (session.state, session.outputs) == ("done", OUTPUTS)
    until(lambda: is_gone(int(child.read_text())))


@posix
def test_a_child_that_left_the_group_with_the_pipes_cannot_keep_the_host_waiting(
    ended: Callable[..., Session], tmp_path: Path
) -> None:
    child = tmp_path / "child"
    try:
        session = ended(["stray", str(child)], *said(HELLO, RESULT, END), ["exit", 0], graces=QUICK)
        assert (session.state, session.outputs) == ("done", OUTPUTS)
        assert not is_gone(int(child.read_text()))
    finally:
        os.kill(int(child.read_text()), signal.SIGKILL)


def test_an_engine_that_closes_stdout_and_goes_on_is_not_over(
    play: Callable[..., Session], tmp_path: Path
) -> None:
    go, closed = tmp_path / "go", tmp_path / "closed"
    steps = [["close", 1], ["make", str(closed)], ["until", str(go)], ["exit", 0]]
    session = play(*said(HELLO, RESULT, END), *steps)
    wait_for(closed)
    assert not session.finished
    go.touch()
    assert session.wait(60)
    assert session.state == "done"


def test_nothing_is_left_open(ended: Callable[..., Session]) -> None:
    session = ended(*said(HELLO, END))
    process = session._process
    assert process is not None
    assert [pipe.closed for pipe in (process.stdin, process.stdout, process.stderr) if pipe] == [True] * 3


# Starting ---------------------------------------------------------------------------------------------------


def test_a_program_that_is_not_there_is_an_error_for_a_dialog(tmp_path: Path) -> None:
    with pytest.raises(EngineMissing) as caught:
        Session([str(tmp_path / "stit")], ["run"]).start()
    assert caught.value.trouble.code == "STIT-H102"
    assert str(tmp_path / "stit") in caught.value.dialog()


@posix
def test_a_program_that_may_not_be_executed_is_an_error_for_a_dialog(tmp_path: Path) -> None:
    (tmp_path / "stit").write_text("#!/bin/sh\n")
    with pytest.raises(EngineMissing, match="Permission denied"):
        Session([str(tmp_path / "stit")], ["run"]).start()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineMissing, match="the folder to run in is not there"):
        Session([sys.executable], ["-V"], cwd=tmp_path / "gone").start()


def test_a_session_runs_once(ended: Callable[..., Session]) -> None:
    session = ended(*said(HELLO, END))
    with pytest.raises(RuntimeError):
        session.start()


def test_cancelled_before_it_started_it_does_not_run_on(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text(json.dumps([*said(HELLO), ["hang"]]))
    session = Session([sys.executable, str(HERE / "puppet.py")], [str(script)], graces=QUICK)
    session.cancel()
    session.start()
    assert session.wait(60)
    assert session.state == "cancelled"


@posix
def test_the_engine_leads_a_group_of_its_own(play: Callable[..., Session]) -> None:
    session = play(*said(HELLO), ["hang"])
    until(lambda: session.hello)
    assert session._process is not None
    assert os.getpgid(session._process.pid) == session._process.pid != os.getpgid(0)


@posix
@pytest.mark.parametrize(
    ("number", "action", "steps", "state"),
    [
        ("SIGCHLD", "SIG_IGN", said(HELLO, RESULT, END), "done"),
        ("SIGPIPE", "SIG_DFL", [["close", 0], *said(HELLO), ["hang"]], "cancelled"),
    ],
)
def test_hosts_with_odd_signal_settings_survive(
    tmp_path: Path, number: str, action: str, steps: Steps, state: str
) -> None:
    """A host that lets the system reap its children, and one that embeds Python and keeps SIGPIPE deadly."""
    script = tmp_path / "script.json"
    script.write_text(json.dumps(steps))
    code = (
        "import signal, sys, time; signal.signal(signal.{}, signal.{})\n"
        "from stit_session import Graces, Session\n"
        "session = Session([sys.executable, {!r}], [{!r}], graces=Graces(ask=0.2, terminate=0.2)).start()\n"
        "while not session.hello: time.sleep(0.01)\n"
        "session.wait(0.5); session.cancel(); session.wait(60)\n"
        "print(session.state)"
    ).format(number, action, str(HERE / "puppet.py"), str(script))
    folder = str(HERE.parents[2] / "host_plugins" / "common")
    run = subprocess.run(
        [sys.executable, "-c", code], env=dict(os.environ, PYTHONPATH=folder), capture_output=True, timeout=90
    )
    assert (run.returncode, run.stdout.split()) == (0, [state.encode()]), run.stderr


def test_the_final_states_are_final(ended: Callable[..., Session]) -> None:
    session = ended(*said(HELLO, END))
    assert session.finished
    assert session.state in FINAL_STATES
