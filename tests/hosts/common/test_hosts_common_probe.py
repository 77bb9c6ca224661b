"""Questions to a puppet, and to the real engine of this tree."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Callable

import pytest
from stit_session import (
    EngineCommand,
    EngineMissing,
    EngineUnfit,
    Graces,
    Question,
    Session,
    ask,
    clean_environment,
    directions,
    doctor,
    probe,
    run_words,
    write_job,
)

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
HELLO = {"ev": "hello", "proto": "1.0", "engine": "stit_vfx 0.1.0", "caps": ["preview", 7], "pid": 1}


@pytest.fixture
def puppet(tmp_path: Path) -> Callable[..., EngineCommand]:
    def make(*steps: Any) -> EngineCommand:
        script = tmp_path / "script.json"
        script.write_text(json.dumps(steps))
        return EngineCommand((sys.executable, str(HERE / "puppet.py"), str(script)))

    return make


def test_a_handshake_needs_no_job(puppet: Callable[..., EngineCommand]) -> None:
    info = probe(puppet(["say", HELLO], ["say", {"ev": "end", "status": "failed", "exit": 2}], ["exit", 2]))
    assert (info.engine, info.version, info.protocol) == ("stit_vfx 0.1.0", "0.1.0", (1, 0))
    assert info.caps == ("preview",)
    assert str(info) == "stit_vfx 0.1.0, stit-events/1.0"


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        ([["say", dict(HELLO, proto="2.0")], ["hang"]], "STIT-H104"),
        ([["err", "not an engine"], ["exit", 0]], "STIT-H103"),
        ([["raw", "hello\n"], ["exit", 1]], "STIT-H103"),
        ([["hang"]], "STIT-H108"),
    ],
)
def test_a_handshake_that_fails_says_why(puppet: Callable[..., EngineCommand], steps: Any, code: str) -> None:
    with pytest.raises(EngineUnfit) as caught:
        probe(puppet(*steps), timeout_s=1.0)
    assert caught.value.trouble.code == code


def test_an_engine_that_says_hello_and_stays_is_an_engine(puppet: Callable[..., EngineCommand]) -> None:
    assert probe(puppet(["say", HELLO], ["hang"]), timeout_s=1.0).protocol == (1, 0)


def test_an_answer_is_the_document_whatever_is_on_stderr(puppet: Callable[..., EngineCommand]) -> None:
    command = puppet(["times", 5000, ["err", "noise"]], ["raw", '{"a": ["\xc3\xa9"]}\n'])
    assert ask(command, ["x"]) == {"a": ["\u00e9"]}


def test_no_answer_is_the_engines_own_line_of_error(puppet: Callable[..., EngineCommand]) -> None:
    command = puppet(["err", "noise"], ["err", "no pack 'x'. There is builtin. (STIT-E201)"], ["exit", 4])
    with pytest.raises(EngineUnfit) as caught:
        ask(command, ["packs", "show", "x"])
    trouble = caught.value.trouble
    assert (trouble.code, trouble.exit_status) == ("STIT-E201", 4)
    assert trouble.what == "no pack 'x'. There is builtin."
    assert trouble.log[0] == "noise"


@pytest.mark.parametrize(
    ("steps", "word"),
    [
        ([["exit", 3]], "ended with status 3 and said nothing"),
        ([["raw", "{"]], "ended with status 0 and said nothing"),
        ([["raw", "\xff"], ["err", "odd"]], "odd"),
        ([["raw", "[" * 100_000]], "said nothing"),
    ],
)
def test_an_answer_that_is_none_is_an_error(
    puppet: Callable[..., EngineCommand], steps: Any, word: str
) -> None:
    with pytest.raises(EngineUnfit, match=word):
        ask(puppet(*steps), ["x"])


def test_an_answer_that_never_comes_is_not_waited_for(puppet: Callable[..., EngineCommand]) -> None:
    with pytest.raises(EngineUnfit) as caught:
        ask(puppet(["raw", "{}"], ["hang"]), ["faces"], timeout_s=0.5)
    assert caught.value.trouble.code == "STIT-H108"


@pytest.mark.skipif(os.name == "nt", reason="process groups are POSIX's")
def test_a_child_that_lives_on_does_not_hold_an_answer_back(
    puppet: Callable[..., EngineCommand], tmp_path: Path
) -> None:
    child = tmp_path / "child"
    try:
        assert ask(puppet(["stray", str(child)], ["raw", "17"]), ["x"]) == 17
    finally:
        os.kill(int(child.read_text()), 9)


def test_a_question_shows_its_last_line_and_can_be_taken_back(
    puppet: Callable[..., EngineCommand], tmp_path: Path
) -> None:
    said = tmp_path / "said"
    question = Question(puppet(["err", " 40 %  align 4/10"], ["make", str(said)], ["hang"]), ["x"]).start()
    while not said.exists():
        question.wait(0.01)
    assert question.last_line == " 40 %  align 4/10"
    assert not question.finished
    question.cancel()
    assert question.wait(60)
    with pytest.raises(EngineUnfit) as caught:
        question.answer()
    assert caught.value.trouble.exit_status == 130
    assert not os.path.exists(question._folder)


def test_a_question_to_nobody_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    question = Question(EngineCommand((str(tmp_path / "stit"),)), ["x"])
    with pytest.raises(EngineMissing):
        question.start()
    assert not os.path.exists(question._folder)


# The real engine --------------------------------------------------------------------------------------------

REAL = EngineCommand((sys.executable, "-m", "stit_vfx"))


@pytest.fixture(scope="module")
def real() -> Any:
    """The environment in which a cleaned child finds the engine of this tree."""
    return clean_environment(more={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})


def test_the_real_engine_shakes_hands(real: Any) -> None:
    from stit_vfx._version import __version__
    from stit_vfx.events import PROTOCOL

    info = probe(REAL, env=real)
    assert (info.version, "{}.{}".format(*info.protocol)) == (__version__, PROTOCOL)
    assert "heartbeat" in info.caps


def test_the_real_engines_directions_are_the_packs(real: Any) -> None:
    pack = json.loads((ROOT / "stit_vfx" / "packs" / "builtin" / "pack.json").read_text())
    found = directions(REAL, env=real)
    assert [direction.name for direction in found] == list(pack["directions"])
    assert all(direction.low < direction.high and direction.title for direction in found)
    with pytest.raises(EngineUnfit, match="STIT-E201"):
        directions(REAL, "nosuchpack", env=real)


def test_the_real_engine_examines_this_machine(real: Any, tmp_path: Path) -> None:
    told = doctor(REAL, env=real, folder=str(tmp_path))
    names = [check["name"] for check in told["checks"]]
    assert {"versions", "packs", "storage"} <= {name.replace("pack builtin", "packs") for name in names}
    assert all(check["state"] in ("OK", "WARN", "FAIL") for check in told["checks"])


@pytest.mark.parametrize(
    ("change", "exit_status", "code"),
    [({}, 3, "STIT-E301"), ({"edits": []}, 2, "STIT-E101"), ({"schema": "stit.job/9"}, 2, "STIT-E102")],
)
def test_the_real_engines_refusals_reach_the_dialog(
    real: Any, tmp_path: Path, change: Any, exit_status: int, code: str
) -> None:
    job = {"plate": "none.####.exr", "frames": "1-2", "edits": [{"direction": "smile", "strength": 0.5}]}
    path = write_job(tmp_path / "job.json", {**job, **change})
    session = Session(REAL, run_words(path), env=real, expects=("comp", "matte")).start()
    assert session.wait(100)
    assert (session.state, session.exit_status) == ("failed", exit_status)
    assert session.error is not None
    assert session.error.code == code
    assert session.log_tail(1) == [session.error.text]


def test_the_real_engine_stops_when_it_is_asked_to(real: Any, tmp_path: Path) -> None:
    # It looks at the wish first when torch is imported, which takes its time on a busy machine.
    session = Session(REAL, ["demo", "--out", str(tmp_path)], env=real, graces=Graces(ask=100)).start()
    while not session.hello and not session.wait(0.01):
        pass
    session.cancel()
    assert session.wait(100)
    # 130 of its own accord: no signal was needed.
    assert (session.state, session.exit_status, session.returncode) == ("cancelled", 130, 130)
    assert session.poll()[-1]["reason"] == "command"
