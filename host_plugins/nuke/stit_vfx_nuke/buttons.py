"""The table of the panel's buttons. Nothing runs while a knob is scrubbed.

Every failure is one dialog: what, where, what to do, a code, the engine's last lines.
"""

from __future__ import annotations

from typing import Any, Callable, Dict

from . import asking, cooking, results
from .telling import EXPECTED, fail

BUTTONS: Dict[str, Callable[[Any], None]] = {
    "analyze": asking.analyze,
    "cancel": cooking.cancel,
    "face_here": results.face_here,
    "refresh_edits": asking.refresh_edits,
    "from_input": results.from_input,
    "preview": cooking.preview,
    "cook": cooking.cook,
    "resume": cooking.resume,
    "clear_cache": asking.clear_cache,
    "bake": results.bake,
    "export_job": results.export_job,
    "submit": results.submit,
    "latest": results.latest,
    "test_engine": asking.test_engine,
    "update_node": results.update_node,
}


def press(node: Any, button: str) -> None:
    """Do what a button says; failures become a dialog and the status line."""
    try:
        BUTTONS[button](node)
    except EXPECTED as error:
        fail(node, error)
