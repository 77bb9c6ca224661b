"""Cooking: the plate and the job, the engine, its version shown. And its small form, the preview."""

from __future__ import annotations

import json
import os
from typing import Any, Dict, Mapping, NamedTuple

from . import adapter, settings, shared, work
from .preparing import Prepared, colour, environment, prepare
from .settings import SettingsError
from .telling import EXPECTED, fail, one_line, telling
from .tile import tell_tile


class Outcome(NamedTuple):
    """How a cook ended, for a batch run."""

    exit_status: int
    text: str


# How each node's last cook ended.
OUTCOMES: Dict[str, Outcome] = {}


def cook(node: Any) -> None:
    alone(node)
    engine = shared.engine()
    prepared = prepare(node)
    adapter.put(node, job_file=prepared.job_file)
    run(node, engine, prepared)


def resume(node: Any) -> None:
    """The last job again, as it was written: the engine does what is not on disk."""
    alone(node)
    told = adapter.values(node, ("job_file", "device", "cooked_settings"))
    path = str(told["job_file"])
    if not os.path.isfile(path):
        raise SettingsError("There is no cook to go on with. Press Cook.")
    with open(path, encoding="utf-8") as file:
        job = json.load(file)
    prepared = Prepared(
        shot_folder=os.path.join(job["output"]["folder"], job["shot"] + ".stit"),
        job_file=path,
        frames=(),
        device=str(told["device"]),
        colour=colour(node),
        raw=True,
        space="",
        fingerprint=str(told["cooked_settings"]),
    )
    facts = adapter.read_facts(node)
    if facts is not None and settings.usable_as_is(facts, (facts.first,), prepared.colour):
        prepared = prepared._replace(raw=facts.raw, space=facts.space)
    run(node, shared.engine(), prepared)


def run(node: Any, engine: shared.EngineCommand, prepared: Prepared) -> None:
    """Start the engine on a prepared job; what is left to do comes when it is over."""
    session = shared.Session(
        engine,
        prepared.words(),
        env=environment(prepared.colour),
        cwd=os.path.dirname(prepared.job_file),
        expects=("comp", "matte"),
    )
    name = adapter.name_of(node)
    session.start()
    work.RUNNING[name] = session

    def body(show: work.Show) -> None:
        try:
            work.watch(session, telling(node, show))
        finally:
            work.RUNNING.pop(name, None)
        adapter.later(concluded, node, session, prepared)

    adapter.in_background("STIT {}".format(name), body)


def concluded(node: Any, session: shared.Session, prepared: Prepared) -> None:
    """`finish`, with its failures told; a batch run reads the outcome."""
    try:
        OUTCOMES[adapter.name_of(node)] = finish(node, session, prepared)
    except EXPECTED as error:
        fail(node, error)


def finish(node: Any, session: shared.Session, prepared: Prepared) -> Outcome:
    """The engine is gone: show its version, or say why there is none."""
    if session.state == "cancelled":
        adapter.put(node, status="cancelled; Resume goes on")
        return Outcome(130, "cancelled")
    if session.error is not None:
        text = session.error.dialog(log_lines=8)
        adapter.put(node, status=one_line(text))
        adapter.say(text)
        return Outcome(session.exit_status or 1, session.error.text)
    result: Mapping[str, Any] = session.result or {}
    version = str(result.get("version") or "")
    show_version(node, os.path.join(prepared.shot_folder, "out", version), prepared)
    notes = ["{} ({})".format(notice.text, notice.code) for notice in session.notices]
    partial = ["some frames are the plate's own"] if session.partial else []
    adapter.put(node, status="; ".join(["done", *partial, *notes[:3]]))
    return Outcome(session.exit_status or 0, "done")


def show_version(node: Any, folder: str, prepared: Prepared) -> None:
    """Point the node at a version. Raises SettingsError if its frames are not there."""
    comp = settings.sequence_in(os.path.join(folder, "comp"))
    matte = settings.sequence_in(os.path.join(folder, "matte"))
    if comp is None or matte is None:
        raise SettingsError("There are no EXR frames in {}.".format(folder))
    adapter.show_cook(node, comp[0], matte[0], comp[1:], raw=prepared.raw, space=prepared.space)
    adapter.put(node, shown_version=os.path.basename(folder), cooked_settings=prepared.fingerprint)
    tell_tile(node)


def cancel(node: Any) -> None:
    if not work.stop(adapter.name_of(node)):
        adapter.put(node, status="nothing is running")


def alone(node: Any) -> None:
    if adapter.name_of(node) in work.RUNNING:
        raise SettingsError("This node is cooking. Cancel it, or wait.")


def preview(node: Any) -> None:
    """Plate and edit of one frame, beside each other."""
    alone(node)
    engine, frame = shared.engine(), adapter.frame_now()
    prepared = prepare(node, [frame], suffix="_preview")
    picture = os.path.splitext(prepared.job_file)[0] + ".{:04d}.png".format(frame)
    words = ["preview", prepared.job_file, "--frame={}".format(frame), "--out={}".format(picture)]
    words += ["--device={}".format(prepared.device)]
    if prepared.colour.flag:
        words.append("--ocio={}".format(prepared.colour.flag))
    session = shared.Session(engine, words, env=environment(prepared.colour), expects=("preview",)).start()
    name = adapter.name_of(node)
    work.RUNNING[name] = session

    def done() -> None:
        if session.state == "cancelled":
            adapter.put(node, status="cancelled")
        elif session.error is not None:
            adapter.put(node, status=one_line(session.error.text))
            adapter.say(session.error.dialog(log_lines=8))
        else:
            adapter.show_preview(node, picture.replace(os.sep, "/"), frame)
            adapter.put(node, status="preview of frame {}".format(frame))

    def body(show: work.Show) -> None:
        try:
            work.watch(session, telling(node, show))
        finally:
            work.RUNNING.pop(name, None)
        adapter.later(done)

    adapter.in_background("STIT {}".format(name), body)
