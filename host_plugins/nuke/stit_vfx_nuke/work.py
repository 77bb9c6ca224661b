"""The engine at work: one piece of work per node, what it tells, and how it is stopped. No Nuke in here."""

from __future__ import annotations

from typing import Any, Callable, Dict, Union

from .shared import Question, Session

LOOK_S = 0.2
# Shows a fraction and a line; False: the artist wants it to stop.
Show = Callable[[float, str], bool]

Stoppable = Union[Session, Question]

# What is running, by the node's full name. A node does one thing at a time.
RUNNING: Dict[str, Stoppable] = {}


def stop(name: str) -> bool:
    """Stop what a node is doing; was there something?"""
    work = RUNNING.get(name)
    if work is not None:
        work.cancel()
    return work is not None


def stop_all() -> None:
    """Nuke is closing."""
    for work in list(RUNNING.values()):
        work.cancel()


def watch(session: Session, show: Show) -> None:
    """Stay with a session until it is over. Whatever ends this thread must not leave an engine behind."""
    try:
        while not session.wait(LOOK_S):
            session.poll()
            if not show(session.progress.fraction, told(session)):
                session.cancel()
    except BaseException:
        session.kill()
        raise


def wait_for(question: Question, show: Show) -> Any:
    """Stay with a question and give its answer. Raises EngineError."""
    while not question.wait(LOOK_S):
        if not show(0.0, question.last_line or "asking the engine"):
            question.cancel()
    return question.answer()


def told(session: Session) -> str:
    """A line for the panel: what is done, which frame, how long it will take."""
    state, progress = session.state, session.progress
    if state == "silent":
        return "the engine does not respond; Cancel ends it"
    if state in ("starting", "cancelling"):
        return state
    words = [progress.step or "running", "{:.0f} %".format(100 * progress.fraction)]
    if progress.frame is not None:
        words.append("frame {}".format(progress.frame))
    if progress.eta_s is not None:
        words.append("{} left".format(_span(progress.eta_s)))
    return ", ".join(words)


def _span(seconds: float) -> str:
    minutes = round(seconds / 60)
    if seconds < 90:
        return "{:.0f} s".format(seconds)
    return "{} min".format(minutes) if minutes < 90 else "{:.1f} h".format(seconds / 3600)
