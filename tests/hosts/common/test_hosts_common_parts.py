"""Lines, events and the story that they tell, without any process."""

from __future__ import annotations

import json
from typing import Any, List

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stit_session import Trouble
from stit_session.lines import Event, LineSplitter, parse_event, readable
from stit_session.processes import how_it_ended
from stit_session.story import Story, protocol_of
from stit_session.trouble import from_event, status_of
from stit_vfx import errors

TEXTS = st.text(alphabet='a1.\u00e9\n\0"\ud800', max_size=6)
NUMBERS = st.integers() | st.floats() | st.sampled_from([10**400, 2**53 + 1])
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS | st.sampled_from(["ok", "failed", "partial", "1.0"])
OUTPUTS = st.fixed_dictionaries({"kind": st.just("comp") | SCALARS, "path": TEXTS | SCALARS})
VALUES = SCALARS | st.lists(SCALARS | OUTPUTS, max_size=3) | OUTPUTS
NAMES = st.sampled_from(
    (
        *("proto", "seq", "t", "stage", "state", "done", "total", "frame", "frac", "eta_s", "level", "msg"),
        *("code", "hint", "where", "fatal", "outputs", "status", "exit", "engine", "caps", "what", "text"),
    )
)
KINDS = st.sampled_from(
    (
        *("hello", "stage", "progress", "log", "preview", "frame", "heartbeat", "error", "result", "end"),
        *("thumbnail", "verdict"),
    )
)
FIELDS = st.dictionaries(NAMES, VALUES, max_size=8)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=40)), st.integers(1, 60))
def test_lines_do_not_depend_on_how_the_bytes_come(chunks: List[bytes], limit: int) -> None:
    splitter = LineSplitter(limit)
    lines = [line for chunk in chunks for line in splitter.feed(chunk)] + [splitter.rest()]
    whole = b"".join(chunks).split(b"\n")
    assert lines == [line[:limit].rstrip(b"\r") for line in whole]
    assert splitter.cut == sum(len(line) > limit for line in whole)
    assert splitter.rest() == b""


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_make_the_parser_raise(line: bytes) -> None:
    event = parse_event(line)
    assert event is None or isinstance(event.kind, str)
    assert readable(line).isprintable()


@settings(deadline=None)
@given(FIELDS, KINDS)
def test_a_line_that_is_an_event_is_read_as_it_was_written(fields: Any, kind: str) -> None:
    line = json.dumps({**fields, "ev": kind}).encode()
    event = parse_event(line)
    if b"NaN" in line or b"Infinity" in line:
        assert event is None
    else:
        assert event is not None
        assert dict(event) == {**fields, "ev": kind}
        assert len(event) == len({**fields, "ev": kind})


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(KINDS, FIELDS), max_size=8), st.none() | st.integers(-20, 140), st.booleans())
def test_no_story_makes_it_raise_or_run_backwards(told: Any, returncode: Any, stopped: bool) -> None:
    story, fractions = Story(), [0.0]
    story.take(Event({"ev": "hello", "proto": "1.0"}), 0.0)
    for n, (kind, fields) in enumerate(told):
        story.take(Event({**fields, "ev": kind}), float(n))
        fractions.append(story.progress.fraction)
        assert story.progress.eta_s is None or story.progress.eta_s >= 0
    assert fractions == sorted(fractions)
    assert fractions[-1] <= 1
    there = sum(len(fields) for _, fields in told) % 3 != 0
    expects = ("comp",)
    verdict = story.verdict(returncode, stopped=stopped, expects=expects, is_there=lambda path: there)
    assert verdict.state in ("done", "failed", "cancelled", "crashed")
    assert (verdict.trouble is None) == (verdict.state in ("done", "cancelled"))
    assert (verdict.exit_status == 0) == (verdict.state == "done" and not verdict.partial)
    if verdict.trouble is not None:
        assert verdict.trouble.text.endswith("({})".format(verdict.trouble.code))
        assert verdict.trouble.dialog()
    if verdict.state == "done":
        assert "comp" in [output["kind"] for output in story.outputs]
        assert there


@pytest.mark.parametrize(
    ("text", "version"),
    [("1.0", (1, 0)), ("1.12", (1, 12)), ("2.0-beta", (2, 0)), ("1", None), ("1.", None), (1.0, None)],
)
def test_a_protocols_version_is_two_numbers(text: Any, version: Any) -> None:
    assert protocol_of(text) == version


def test_every_error_of_the_engine_has_its_exit_status_and_a_title_here() -> None:
    leaves: List[Any] = [errors.StitError]
    for kind in leaves:
        leaves.extend(kind.__subclasses__())
    told = {kind.code: kind.exit_status for kind in leaves}
    assert len(told) > 30
    assert {code: status_of(code) for code in told} == told
    titles = {code: Trouble(code, "x").title for code in told}
    assert "The engine" not in titles.values()
    assert titles["STIT-E450"] == "Worth trying again"
    assert titles["STIT-E404"] == "This machine cannot run the job"
    assert Trouble("STIT-H105", "x").title == "The engine"


@pytest.mark.parametrize("frame", [None, 1041])
@pytest.mark.parametrize("where", [None, "a.exr"])
@pytest.mark.parametrize("hint", [None, "Copy it again", "Is it there?"])
def test_an_error_reads_as_the_engine_prints_it(frame: Any, where: Any, hint: Any) -> None:
    error = errors.PlateDamagedError("is damaged", where=where, frame=frame, hint=hint)
    event = {"code": error.code, "msg": error.problem, "hint": error.hint, "where": where, "frame": frame}
    assert from_event(event, 3).text == str(error)


@pytest.mark.parametrize(
    ("returncode", "words"),
    [
        (0, "with status 0"),
        (-11, "by signal SIGSEGV"),
        (-250, "by signal 250"),
        (0xC0000005, "with status 0xC0000005"),
        (None, "and cannot be ended"),
    ],
)
def test_an_exit_status_in_words(returncode: Any, words: str) -> None:
    assert how_it_ended(returncode) == words
