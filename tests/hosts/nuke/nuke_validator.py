"""What can be wrong with a gizmo of ours, seen without Nuke. `problems(text)` names all it finds."""

from __future__ import annotations

import re

from nuke_knobs import KNOBS
from nuke_script import KINDS, Node, ScriptError, UserKnob, read_script

CALLBACKS = ("onCreate", "knobChanged", "autolabel", "updateUI", "onDestroy")
IMAGE_LAYERS = {"rgba.red", "rgba.green", "rgba.blue", "rgba.alpha", "none"}


def problems(text: str, *, buttons: tuple[str, ...] = ()) -> list[str]:
    """Everything that is wrong, a line each. `buttons`: the words that the plug-in answers to."""
    try:
        script = read_script(text)
    except ScriptError as error:
        return [str(error)]
    if [node.cls for node in script.nodes] != ["Group"]:
        return ["the file's one top node has to be a Group"]
    group = script.nodes[0]
    channels = IMAGE_LAYERS | {channel for channels in script.layers.values() for channel in channels}
    return [
        *_of_group(group),
        *(line for knob in group.user for line in _of_knob(group, knob)),
        *_of_python(group, buttons),
        *(line for node in group.inside for line in _of_node(group, node)),
        *_of_wiring(group),
        *_of_channels(group, channels),
    ]


def _of_group(group: Node) -> list[str]:
    found = []
    if not group.user or group.user[0].kind != 20:
        found.append("the first user knob is no tab: Nuke would add one named User")
    names = [knob.name for knob in group.user]
    found += [f"{name}: two user knobs" for name in sorted(set(names)) if names.count(name) > 1]
    found += [f"{name}: set twice" for name in group.twice]
    for name in group.knobs:
        if name not in names and name not in KNOBS["Group"]:
            found.append(f"{name}: set, but there is no such knob")
    depth = 0
    for knob in group.user:
        state = int(knob.text("n") or 0)
        depth += 1 if state > 0 else (-1 if state < 0 else 0)
        if depth not in (0, 1):
            found.append(f"{knob.name}: groups of the panel do not pair")
    return [*found, *(["a group of the panel is never closed"] if depth else [])]


def _of_knob(group: Node, knob: UserKnob) -> list[str]:
    found = []
    if knob.kind not in KINDS:
        return [f"{knob.name}: no knob has the number {knob.kind}"]
    if not knob.name.isidentifier():
        found.append(f"{knob.name}: no name for Python")
    plain = knob.kind in (20, 26) and (knob.kind == 20 or not knob.text("T").strip())
    if not plain and not knob.text("t").strip():
        found.append(f"{knob.name}: no tooltip")
    if "l" not in knob.options:
        found.append(f"{knob.name}: no label")
    value = group.knobs.get(knob.name)
    if knob.kind == 4:
        if not knob.menu:
            found.append(f"{knob.name}: a menu without entries")
        elif value is not None and value not in knob.menu:
            found.append(f"{knob.name}: {value} is not in its menu")
    if knob.kind == 7:
        low, high = (float(word) for word in knob.options.get("R", ("0", "0")))
        if not low < high:
            found.append(f"{knob.name}: a slider without a range")
        elif not low <= float(value or 0) <= high:
            found.append(f"{knob.name}: {value} is outside its range")
    if knob.kind == 41:
        found += _of_link(group, knob)
    return found


def _of_link(group: Node, knob: UserKnob) -> list[str]:
    inner, _, name = knob.text("T").partition(".")
    node = group.child(inner)
    if node is None:
        return [f"{knob.name}: links to {inner}, which is not inside"]
    return [] if name in KNOBS.get(node.cls, ()) else [f"{knob.name}: {node.cls} has no knob {name}"]


def _of_python(group: Node, buttons: tuple[str, ...]) -> list[str]:
    found = []
    codes = {knob.name: knob.text("T") for knob in group.user if knob.kind == 22}
    codes |= {name: group.knobs[name] for name in CALLBACKS if name in group.knobs}
    for name, code in codes.items():
        try:
            compile(code, name, "exec")
        except SyntaxError as error:
            found.append(f"{name}: Python: {error.msg}, line {error.lineno}")
            continue
        if not code.strip():
            found.append(f"{name}: a button that does nothing")
        if "import stit_vfx_nuke" in code and "except ImportError" not in code:
            found.append(f"{name}: fails where the plug-in is missing")
        pressed = re.findall(r"\.press\(nuke\.thisNode\(\), '(\w+)'\)", code)
        found += [f"{name}: nothing answers to {word}" for word in pressed if buttons and word not in buttons]
    return found


def _of_node(group: Node, node: Node) -> list[str]:
    if node.cls not in KNOBS:
        return [f"{node.name}: the class {node.cls} is not in our list"]
    found = [
        f"{node.name}: {node.cls} has no knob {name}" for name in node.knobs if name not in KNOBS[node.cls]
    ]
    found += [f"{node.name}: {name} is set twice" for name in node.twice]
    own = {knob.name for knob in group.user}
    for name, value in node.knobs.items():
        for wanted in re.findall(r"\bparent\.(\w+)", value):
            if wanted not in own:
                found.append(f"{node.name}.{name}: the group has no knob {wanted}")
        if value.startswith("{{"):
            found.append(f"{node.name}.{name}: braces too many")
    return found


def _of_wiring(group: Node) -> list[str]:
    found = []
    names = [node.name for node in group.inside]
    found += [f"{name}: two nodes inside" for name in sorted(set(names)) if names.count(name) > 1]
    if [node.cls for node in group.inside].count("Output") != 1:
        found.append("there has to be one Output inside")
    numbers = sorted(int(node.knobs.get("number", 0)) for node in group.inside if node.cls == "Input")
    if numbers != list(range(int(group.knobs.get("inputs", 1)))):
        found.append(f"inputs {numbers} inside, {group.knobs.get('inputs', 1)} outside")
    found += [f"{node.name}: an input with nothing" for node in group.inside if None in node.inputs]
    reached: set[int] = set()
    waiting = [node for node in group.inside if node.cls in ("Output", "Write")]
    while waiting:
        node = waiting.pop()
        if id(node) not in reached:
            reached.add(id(node))
            waiting += [feed for feed in node.inputs if feed is not None]
    found += [f"{node.name}: leads nowhere" for node in group.inside if id(node) not in reached]
    return found


def _of_channels(group: Node, channels: set[str]) -> list[str]:
    found = []
    for node in group.inside:
        for name, value in node.knobs.items():
            names_one = re.match(r"(from|to|channel)\d$", name) or name == "maskChannel"
            if names_one and value not in channels:
                found.append(f"{node.name}.{name}: there is no channel {value}")
    return found
