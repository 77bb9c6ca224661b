"""STIT VFX in Nuke. What the nodes' buttons call; the rest is imported when a button is pressed.

adapter.py    the only file that imports nuke; one small function for each thing that Nuke does
buttons.py    the table of buttons; what they do is in
  cooking.py    cook, resume, cancel, preview
  asking.py     analyse, read the pack's edits, test the engine, clear the cache
  results.py    bake, export, submit, show what a farm made
preparing.py  from the panel to plate and job on disk
telling.py    status lines and dialogs; tile.py: the node's tile
settings.py   from knob values to a job; no Nuke, no files
work.py       the engine at work, and what it tells on the way; no Nuke
shared.py     where the engine session and the gizmos are
"""

from __future__ import annotations

from typing import Any


def press(node: Any, button: str) -> None:
    """A button of a STIT node was pressed."""
    from . import buttons

    buttons.press(node, button)


def changed(node: Any, knob: Any) -> None:
    """A knob of a STIT node was changed: says on the tile whether the cook is stale. Computes nothing."""
    from . import tile

    tile.changed(node, knob)
