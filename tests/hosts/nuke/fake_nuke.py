"""A `nuke` module whose nodes are made of the real gizmos: a knob they lack raises NameError, as in Nuke."""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from nuke_knobs import KNOBS, ROOT
from nuke_script import Node, UserKnob, read_script

NUMBERS = {3: int, 7: float, 8: float}


class Knob:
    """A knob: value, keys with straight lines between, menu."""

    def __init__(self, name: str, value: Any = "", menu: Sequence[str] = ()) -> None:
        self._name, self._value, self.menu = name, value, list(menu)
        self.keys: dict[int, float] = {}
        self.visible, self.limits, self.tooltip = True, (0.0, 1.0), ""

    def name(self) -> str:
        return self._name

    def value(self) -> Any:
        return self._value

    def getEvaluatedValue(self) -> Any:
        return self._value

    def setValue(self, value: Any) -> bool:
        if self.menu and value not in self.menu:
            raise TypeError(f"{value} is not in {self.menu}")
        self._value = value
        return True

    def setValues(self, items: Sequence[str]) -> None:
        self.menu = list(items)

    def getValueAt(self, frame: float) -> float:
        if not self.keys:
            return float(self._value)
        before = max((key for key in self.keys if key <= frame), default=min(self.keys))
        after = min((key for key in self.keys if key >= frame), default=max(self.keys))
        if before == after:
            return self.keys[before]
        share = (frame - before) / (after - before)
        return self.keys[before] + share * (self.keys[after] - self.keys[before])

    def isAnimated(self) -> bool:
        return bool(self.keys)

    def toScript(self) -> str:
        return f"{self._value} {sorted(self.keys.items())}"

    def fromScript(self, text: str) -> None:
        value = text.partition(" [")[0]
        self._value = type(self._value)(value) if not isinstance(self._value, list) else self._value

    def setVisible(self, visible: bool) -> None:
        self.visible = visible

    def setRange(self, low: float, high: float) -> None:
        self.limits = (low, high)

    def setTooltip(self, text: str) -> None:
        self.tooltip = text


def _user_knob(knob: UserKnob, text: str | None) -> Knob:
    if knob.kind == 4:
        return Knob(knob.name, text or knob.menu[0], knob.menu)
    if knob.kind == 6:
        return Knob(knob.name, text == "true")
    if knob.kind in NUMBERS:
        return Knob(knob.name, NUMBERS[knob.kind](float(text or 0)))
    if knob.kind in (12, 15):
        return Knob(knob.name, [float(word) for word in (text or "0 0").split()])
    return Knob(knob.name, text if text is not None else knob.text("T"))


class FakeNode:
    """A node; inside a group, its children by name."""

    def __init__(self, cls: str, name: str, knobs: dict[str, Knob], parent: FakeNode | None = None) -> None:
        self.cls, self._knobs, self._parent = cls, knobs, parent
        self.inside: dict[str, FakeNode] = {}
        self.feeds: list[FakeNode | None] = []
        self.users: list[FakeNode] = []
        self.deleted = False
        self._knobs["name"] = Knob("name", name)
        self.size = (64, 48)
        self.box = (0, 0, 64, 48)

    def __getitem__(self, name: str) -> Knob:
        if self.deleted:
            raise ValueError("A PythonObject is not attached to a node")
        if name not in self._knobs:
            raise NameError(f"knob {name} does not exist")
        return self._knobs[name]

    def knobs(self) -> dict[str, Knob]:
        return dict(self._knobs)

    def addKnob(self, knob: Knob) -> None:
        self._knobs[knob.name()] = knob

    def Class(self) -> str:
        return self.cls

    def name(self) -> str:
        return str(self["name"].value())

    def setName(self, name: str) -> None:
        self["name"].setValue(name)

    def fullName(self) -> str:
        outer = self._parent.fullName() + "." if self._parent else ""
        return outer + self.name()

    def parent(self) -> FakeNode:
        return self._parent or FakeNode("Root", "root", {})

    def __enter__(self) -> FakeNode:
        return self

    def __exit__(self, *_: object) -> None: ...

    def input(self, n: int) -> FakeNode | None:
        return self.feeds[n] if n < len(self.feeds) else None

    def inputs(self) -> int:
        return len(self.feeds)

    def setInput(self, n: int, node: FakeNode | None) -> bool:
        self.feeds += [None] * (n + 1 - len(self.feeds))
        self.feeds[n] = node
        if node is not None:
            node.users.append(self)
        return True

    def dependent(self, _what: int, _force: bool) -> list[FakeNode]:
        return self.users

    def firstFrame(self) -> int:
        return int(self["first"].value())

    def lastFrame(self) -> int:
        return int(self["last"].value())

    def format(self) -> Any:
        return types.SimpleNamespace(width=lambda: self.size[0], height=lambda: self.size[1])

    def bbox(self) -> Any:
        x, y, w, h = self.box
        return types.SimpleNamespace(x=lambda: x, y=lambda: y, w=lambda: w, h=lambda: h)

    def xpos(self) -> int:
        return 0

    ypos = xpos

    def setXYpos(self, _x: int, _y: int) -> None: ...

    def proxy(self) -> bool:
        return bool(self["proxy"].value())

    def setProxy(self, on: bool) -> None:
        self["proxy"].setValue(on)


_TEXT = {"before", "after", "on_error", "colorspace", "file", "frame", "file_type", "operation"}


def plain_node(cls: str, name: str, parent: FakeNode | None = None, **values: Any) -> FakeNode:
    """A node of a class, with the knobs of the hand-made list and no others."""
    knobs = {knob: Knob(knob, "" if knob in _TEXT else 0) for knob in KNOBS[cls]}
    node = FakeNode(cls, name, knobs, parent)
    for knob, value in values.items():
        node[knob].setValue(value)
    return node


def from_gizmo(text: str, name: str = "") -> FakeNode:
    """The node that a gizmo makes."""
    group: Node = read_script(text).nodes[0]
    knobs = {
        knob.name: _user_knob(knob, group.knobs.get(knob.name)) for knob in group.user if knob.kind != 20
    }
    knobs |= {known: Knob(known, "") for known in KNOBS["Group"]}
    fake = FakeNode("Group", name or group.name, knobs)
    for inner in group.inside:
        values = {
            k: v == "true" if v in ("true", "false") else v for k, v in inner.knobs.items() if k != "name"
        }
        fake.inside[inner.name] = plain_node(inner.cls, inner.name, fake, **values)
    for knob in group.user:
        if knob.kind == 41:
            target, _, linked = knob.text("T").partition(".")
            fake._knobs[knob.name] = fake.inside[target][linked]
    return fake


class FakeNuke(types.ModuleType):
    """The module. `rendered` notes each execute; `render` is done for it."""

    GUI = False
    REPLACE = 2
    INPUTS = 1
    EXE_PATH = "/opt/Nuke/Nuke"

    def __init__(self, gizmos: dict[str, str]) -> None:
        super().__init__("nuke")
        self.Node = FakeNode
        self.gizmos, self.said, self.rendered, self.made = gizmos, [], [], []
        self.tree: dict[str, FakeNode] = {}
        self.render: Callable[[FakeNode, int, int, int], None] = lambda *_: None
        self.now = 1001
        self.nodes = types.SimpleNamespace(Read=self._read)
        self.Double_Knob = lambda name, label: Knob(name, 0.0)
        knobs = {name: Knob(name, "") for name in ROOT}
        self.root_node = FakeNode("Root", "/shots/sh010/comp.nk", knobs)
        self.root_node["colorManagement"].setValue("Nuke")
        self.root_node["proxy"].setValue(True)
        sys.modules["nuke"] = self

    def add(self, node: FakeNode) -> FakeNode:
        self.tree[node.name()] = node
        return node

    def _read(self, name: str = "Read1", **values: Any) -> FakeNode:
        node = plain_node("Read", name, **values)
        self.made.append(node)
        return node

    def createNode(self, kind: str, _knobs: str = "", _panel: bool = True) -> FakeNode:
        return self.add(from_gizmo(self.gizmos[kind], kind + "2"))

    def delete(self, node: FakeNode) -> None:
        node.deleted = True

    def root(self) -> FakeNode:
        return self.root_node

    def toNode(self, name: str) -> FakeNode | None:
        outer, _, inner = name.partition(".")
        node = self.tree.get(outer)
        return node.inside.get(inner) if node is not None and inner else node

    def filename(self, node: FakeNode, _mode: int = 0) -> str:
        return str(node["file"].value())

    def execute(self, node: FakeNode, first: int, last: int, step: int, views: list[str]) -> None:
        assert not node["disable"].value(), "a disabled Write writes nothing"
        assert not self.root_node.proxy(), "cooked in proxy size"
        self.rendered.append((node.name(), first, last, step, views))
        self.render(node, first, last, step)

    def views(self) -> list[str]:
        return ["main"]

    def frame(self) -> int:
        return self.now

    def message(self, text: str) -> None:
        self.said.append(text)

    def tprint(self, text: str) -> None:
        self.said.append(text)

    def ask(self, _text: str) -> bool:
        return True

    @contextlib.contextmanager
    def Undo(self, _name: str) -> Iterator[None]:
        yield

    def scriptOpen(self, path: str) -> None:
        if "missing" in path:
            raise RuntimeError(f"can't open {path}")

    def scriptSave(self) -> None:
        self.said.append("saved")

    def executeInMainThread(self, call: Callable[..., Any], args: tuple[Any, ...] = ()) -> None:
        call(*args)
