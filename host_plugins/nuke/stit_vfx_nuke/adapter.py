"""What Nuke does for us, one small function each. The only file of the package that imports nuke.

Checked statically: `mypy --strict` against types-nuke, and a fake node made of the real gizmo. Knobs are
touched on Nuke's main thread only. A knob that a node lacks raises NameError.
"""

from __future__ import annotations

import os
import threading
from typing import Any, Callable, Dict, List, Mapping, Sequence, Tuple

import nuke

from .settings import ReadFacts
from .work import Show

COLOUR_KNOBS = ("colorManagement", "OCIO_config", "customOCIOConfigPath", "OCIOConfigPath", "workingSpaceLUT")
# Nuke's own words for pixels, by the words of our knob.
DATATYPE = {"half": "16 bit half", "float": "32 bit float"}
STALE_TILE, FRESH_TILE = 0x8C6A2AFF, 0x5E7A8CFF


def say(text: str) -> None:
    """A dialog, or a line in a terminal."""
    if nuke.GUI:
        nuke.message(text.replace("\n", "<br>"))
    else:
        nuke.tprint(text)


def confirm(text: str) -> bool:
    """Yes or no; a terminal says yes to what it was told to do."""
    return nuke.ask(text) if nuke.GUI else True


def name_of(node: nuke.Node) -> str:
    return node.fullName()


def script_path() -> str:
    """The script's file, or "" for one that was never saved."""
    name = nuke.root().name()
    return "" if name == "Root" else name


def frame_now() -> int:
    return nuke.frame()


def input_range(node: nuke.Node) -> Tuple[int, int]:
    plate = connected(node)
    return int(plate.firstFrame()), int(plate.lastFrame())


def connected(node: nuke.Node) -> nuke.Node:
    """The node that the plate comes from. Raises ValueError."""
    plate = node.input(0)
    if plate is None:
        raise ValueError("Connect the plate to the first input.")
    return plate


def values(node: nuke.Node, names: Sequence[str]) -> Dict[str, Any]:
    """Knobs by name; files are evaluated."""
    result: Dict[str, Any] = {name: node[name].value() for name in names}
    if "out_dir" in result:
        result["out_dir"] = node["out_dir"].getEvaluatedValue()  # type: ignore[attr-defined]
    return result


def knob_names(node: nuke.Node) -> List[str]:
    return list(node.knobs())


def samples(node: nuke.Node, name: str, frames: Sequence[int]) -> Dict[int, float]:
    """A curve as the panel shows it, a number per frame."""
    knob = node[name]
    return {frame: float(knob.getValueAt(frame)) for frame in frames}


def is_animated(node: nuke.Node, name: str) -> bool:
    return bool(node[name].isAnimated())


def written(node: nuke.Node, names: Sequence[str]) -> str:
    """Knobs as a script has them, curves included."""
    return "\n".join("{} {}".format(name, node[name].toScript()) for name in names)


def put(node: nuke.Node, **knobs: Any) -> None:
    """Set knobs. A node that was deleted in the meantime is left in peace."""
    try:
        node.name()
    except ValueError:  # "A PythonObject is not attached to a node"
        return
    for name, value in knobs.items():
        node[name].setValue(value)


def put_inside(group: nuke.Node, inner: str, **knobs: Any) -> None:
    """Set knobs of a node inside ours."""
    put(_inside(group, inner), **knobs)


def put_menu(node: nuke.Node, name: str, items: Sequence[str]) -> None:
    node[name].setValues(list(items))  # type: ignore[attr-defined]


def set_tile(node: nuke.Node, *, stale: bool) -> None:
    node["tile_color"].setValue(STALE_TILE if stale else FRESH_TILE)


def _inside(group: nuke.Node, inner: str) -> nuke.Node:
    found = nuke.toNode("{}.{}".format(group.fullName(), inner))
    if found is None:
        raise ValueError("{} has no node {} inside: press Update node.".format(group.name(), inner))
    return found


def root_colour() -> Dict[str, str]:
    """The script's colour settings; paths are evaluated."""
    root = nuke.root()
    told = {}
    for name in COLOUR_KNOBS:
        knob = root[name]
        evaluate = getattr(knob, "getEvaluatedValue", knob.value)
        told[name] = str(evaluate() or knob.value() or "")
    return told


def nuke_folder() -> str:
    """Nuke's own folder: Windows finds libraries there through PATH."""
    return os.path.dirname(nuke.EXE_PATH)


def plate_height(node: nuke.Node) -> int:
    return int(connected(node).format().height())


def read_facts(node: nuke.Node) -> ReadFacts | None:
    """What the input is, if it is a Read. See `settings.usable_as_is`."""
    read = connected(node)
    if read.Class() != "Read":
        return None
    box, form = read.bbox(), read.format()
    whole = (box.x(), box.y(), box.w(), box.h()) == (0, 0, form.width(), form.height())
    moved = bool(read["frame"].value()) or bool(read["disable"].value())
    return ReadFacts(
        cls=read.Class(),
        file=nuke.filename(read) or "",
        raw=bool(read["raw"].value()),
        space=str(read["colorspace"].value()),
        first=int(read["first"].value()),
        last=int(read["last"].value()),
        touched=moved or not whole or bool(read["premultiplied"].value()),
    )


def render_plate(
    node: nuke.Node, path: str, ranges: Sequence[Tuple[int, int, int]], *, view: str, pixel: str
) -> None:
    """Write the plate as it arrives, raw and at full size. RuntimeError: an upstream error, or cancelled.

    The inner Write is disabled but for this: a farm that renders all Writes leaves it alone.
    """
    out, root = _inside(node, "PlateOut"), nuke.root()
    proxy = root.proxy()
    put(out, file=path, datatype=DATATYPE[pixel], disable=False)
    try:
        root.setProxy(False)
        for first, last, step in ranges:
            nuke.execute(out, first, last, step, [view or nuke.views()[0]])
    finally:
        root.setProxy(proxy)
        put(out, disable=True)


def show_cook(
    node: nuke.Node, comp: str, matte: str, span: Tuple[int, int], *, raw: bool, space: str
) -> None:
    """Point the inner Reads at a version."""
    first, last = span
    knobs = {"first": first, "last": last, "origfirst": first, "origlast": last}
    put_inside(node, "Edit", file=comp, **knobs, raw=raw)
    if not raw:
        put_inside(node, "Edit", colorspace=space)
    put_inside(node, "Matte", file=matte, **knobs, raw=True)
    put(node, cooked=True)


def show_preview(node: nuke.Node, path: str, frame: int) -> None:
    put_inside(node, "Preview", file=path, first=frame, last=frame, origfirst=frame, origlast=frame)
    put_inside(node, "Preview", before="hold", after="hold")
    put(node, output="preview")


def bake(node: nuke.Node, label: str) -> None:
    """Plain Reads of what the node shows, beside it."""
    with nuke.Undo("STIT bake"), node.parent():
        for n, (inner, what) in enumerate((("Edit", "edit"), ("Matte", "matte"))):
            source = _inside(node, inner)
            read = nuke.nodes.Read(name="{}_{}_{}".format(node.name(), label, what))
            for knob in ("file", "first", "last", "origfirst", "origlast", "raw", "before", "after"):
                read[knob].setValue(source[knob].value())
            if not source["raw"].value():
                read["colorspace"].setValue(source["colorspace"].value())
            read.setXYpos(int(node.xpos()) + 120 * (n + 1), int(node.ypos()))


def add_slider(node: nuke.Node, name: str, label: str, low: float, high: float, tip: str) -> None:
    """A slider at the end of the last tab, which is where Nuke puts new knobs."""
    knob = nuke.Double_Knob(name, label)
    knob.setRange(low, high)
    knob.setTooltip(tip)
    node.addKnob(knob)


def shape_slider(node: nuke.Node, name: str, *, visible: bool, low: float, high: float) -> None:
    node[name].setVisible(visible)
    node[name].setRange(low, high)  # type: ignore[attr-defined]


def replace_node(node: nuke.Node, kind: str) -> nuke.Node:
    """The installed version of a node in the place of an old one: knobs, both ends' connections, name."""
    with nuke.Undo("STIT update"), node.parent():
        fresh = nuke.createNode(kind, "", False)
        for name, knob in node.knobs().items():
            if name in fresh.knobs() and name not in ("name", "stit_version", "xpos", "ypos", "knobChanged"):
                fresh[name].fromScript(knob.toScript())
        for n in range(node.inputs()):
            fresh.setInput(n, node.input(n))
        for user in node.dependent(nuke.INPUTS, False):
            for n in range(user.inputs()):
                if user.input(n) is node:
                    user.setInput(n, fresh)
        fresh.setXYpos(int(node.xpos()), int(node.ypos()))
        name = node.name()
        nuke.delete(node)
        fresh.setName(name)
    return fresh


def later(call: Callable[..., object], *args: Any) -> None:
    """Have something done on Nuke's main thread, now if there is no other."""
    if nuke.GUI:
        nuke.executeInMainThread(call, args)
    else:
        call(*args)


def in_background(title: str, work: Callable[[Show], None]) -> None:
    """Do work beside Nuke, with its progress window; in a terminal, here and now, with lines of text."""
    if not nuke.GUI:
        work(_terminal_show())
        return

    def body() -> None:
        task = nuke.ProgressTask(title)

        def show(fraction: float, text: str) -> bool:
            task.setProgress(int(100 * fraction))
            task.setMessage(text)
            return not task.isCancelled()

        work(show)

    threading.Thread(target=body, daemon=True, name="stit-cook").start()


def _terminal_show() -> Show:
    last: List[str] = []

    def show(_fraction: float, text: str) -> bool:
        if last != [text]:
            last[:] = [text]
            nuke.tprint("STIT: {}".format(text))
        return True

    return show


def open_script(path: str) -> None:
    nuke.scriptOpen(path)


def save_script() -> None:
    nuke.scriptSave()


def node_named(name: str) -> nuke.Node | None:
    return nuke.toNode(name)


def panel_values(node: nuke.Node, names: Mapping[str, str]) -> Dict[str, str]:
    """Knobs as the tile shows them: a number, or `animated`."""
    return {
        label: "animated" if node[name].isAnimated() else "{:+.2g}".format(float(node[name].value()))
        for name, label in names.items()
    }
