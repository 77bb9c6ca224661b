"""One cook: a job file, the engine, ComfyUI's bar and its Cancel button, and the result as a handle."""

from __future__ import annotations

import logging
import os
from typing import Any, Dict, List, Sequence

from . import host
from .shared import FOLDER, EngineCommand, Session, clean_environment, find_engine, run_words, write_job

LOOK_S = 0.1
LOG = logging.getLogger("stit_vfx")

Job = Dict[str, Any]
Shot = Dict[str, Any]


class CookError(RuntimeError):
    """What ComfyUI shows in its error window: what is wrong, where, what to do, code."""


def engine() -> EngineCommand:
    """The engine of this server. Never from a workflow: that would let anybody run any program."""
    return find_engine(None, FOLDER)


def environment() -> Dict[str, str]:
    """The engine's environment: nothing of ComfyUI's Python, all of its devices."""
    return clean_environment("comfyui")


def cook(job: Job, folder: str, *, device: str = "auto") -> Shot:
    """Run a job to its end and give a handle to what it made. Raises CookError.

    The handle is plain data: {"job", "folder", "device", "version", "comp", "matte", "outputs", "notes"}.
    """
    name = job.get("shot") or "shot"
    job = {**job, "output": {**job.get("output", {}), "folder": folder}}
    path = write_job(os.path.join(folder, "{}.job.json".format(name)), job)
    words = run_words(path, device=None if device == "auto" else device)
    session = Session(engine(), words, env=environment(), cwd=folder, expects=("comp", "matte")).start()
    LOG.info("STIT: %s", " ".join(session.command_line))
    _watch(session)
    if session.state == "cancelled":
        host.raise_interrupted()
        raise CookError("Cancelled. What is finished is kept; run it again to go on.")
    if session.error is not None:
        raise CookError(session.error.dialog(log_lines=8))
    for notice in session.notices:
        LOG.warning("STIT: %s (%s)", notice.text, notice.code)
    result: Any = session.result or {}
    notes = [note for note in result.get("notes") or [] if isinstance(note, str)]
    for line in (_path(session, "comp"), _path(session, "matte"), *notes):
        LOG.info("STIT: %s", line)
    return {
        "job": job,
        "folder": folder,
        "device": device,
        "version": str(result.get("version", "")),
        "comp": _path(session, "comp"),
        "matte": _path(session, "matte"),
        "outputs": session.outputs,
        "notes": [*notes, *("{} ({})".format(notice.text, notice.code) for notice in session.notices)],
    }


def _watch(session: Session) -> None:
    bar = host.Bar()
    silent = False
    try:
        while not session.wait(LOOK_S):
            session.poll()
            bar.show(session.progress.fraction)
            if host.interrupted():
                session.cancel()
            if (session.state == "silent") != silent:
                silent = not silent
                LOG.warning("STIT: the engine %s", "does not respond" if silent else "responds again")
    except BaseException:
        # Whatever ends the server's thread must not leave an engine behind.
        session.kill()
        raise
    bar.show(session.progress.fraction)


def _path(session: Session, kind: str) -> str:
    output = session.output(kind)
    return str(output["path"]) if output is not None else ""


def pictures(shot: Shot) -> List[Dict[str, str]]:
    """The contact sheet for the node's own face, if the version has one."""
    sheets = [output["path"] for output in shot["outputs"] if output["kind"] == "sheet"]
    return [host.picture(path) for path in sheets if os.path.isfile(path)]


def shown(shot: Shot) -> Dict[str, Any]:
    """What ComfyUI shows on a node that has finished."""
    lines: Sequence[str] = [shot["version"], shot["comp"], shot["matte"], *shot["notes"]]
    return {"text": ["\n".join(line for line in lines if line)], "images": pictures(shot)}
