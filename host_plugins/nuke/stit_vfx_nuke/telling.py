"""What the artist is told: a line on the panel while something runs, and one dialog when it fails."""

from __future__ import annotations

from typing import Any, List

from . import adapter, shared, work
from .settings import SettingsError

EXPECTED = (SettingsError, ValueError, RuntimeError, OSError, shared.EngineError)


def fail(node: Any, error: Exception) -> None:
    """Tell the artist what went wrong."""
    text = error.dialog() if isinstance(error, shared.EngineError) else str(error)
    adapter.put(node, status=one_line(text))
    adapter.say(text)


def one_line(text: str) -> str:
    return " ".join(text.split("\n")[0].split())


def telling(node: Any, show: work.Show) -> work.Show:
    """Also tell the panel, but only what is new: each telling is a job for Nuke's main thread."""
    last: List[str] = []

    def both(fraction: float, text: str) -> bool:
        if last != [text]:
            last[:] = [text]
            adapter.later(_status, node, text)
        return show(fraction, text)

    return both


def _status(node: Any, text: str) -> None:
    adapter.put(node, status=text)
