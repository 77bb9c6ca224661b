"""The node's tile: what is edited, which frames, and whether the cook is stale. Computes nothing."""

from __future__ import annotations

from typing import Any

from . import adapter, settings
from .preparing import fingerprint, sliders
from .settings import EDIT, JOB_KNOBS


def changed(node: Any, knob: Any) -> None:
    """A knob of the panel was changed."""
    name = knob.name()
    if (name in JOB_KNOBS and name not in settings.NOT_STALE) or name.startswith(EDIT):
        tell_tile(node)
    if name == "face":
        show_box(node)


def show_box(node: Any) -> None:
    """The box that the overlay draws: of the face that is chosen, else of the first that was found."""
    told = adapter.values(node, ("face", "faces"))
    faces = list(settings.faces_known(str(told["faces"])).values())
    chosen = [face for face in faces if face.words == told["face"]] or faces[:1]
    if chosen:
        height = adapter.plate_height(node)
        adapter.put(node, face_box=settings.nuke_box(chosen[0].box, height))


def tell_tile(node: Any) -> None:
    """Edits, range and whether the cook is stale, on the node's tile."""
    told = adapter.values(node, ("first", "last", "frames", "cooked", "cooked_settings"))
    stale = bool(told["cooked"]) and told["cooked_settings"] != fingerprint(node)
    shown = adapter.panel_values(node, {name: name[len(EDIT) :] for name in sliders(node)})
    edits = {name: value for name, value in shown.items() if value not in ("+0", "-0")}
    frames = told["frames"] or "{}-{}".format(int(told["first"]), int(told["last"]))
    state = "stale" if stale else ("" if told["cooked"] else "not cooked")
    adapter.put(node, summary=settings.summary(edits, frames, state))
    adapter.set_tile(node, stale=stale)
