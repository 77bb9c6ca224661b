"""Reads Nuke scripts and gizmos. They are Tcl: a safe Tcl interpreter runs them, we write down what it says.

A safe interpreter has no files, no network and no processes. Every word it does not know is a node.
"""

from __future__ import annotations

import tkinter
from dataclasses import dataclass, field
from typing import Any

GROUPS = ("Group", "Gizmo", "LiveGroup")
# Ids of addUserKnob: the order of the enum in the public header DDImage/Knobs.h.
KINDS = {
    **{1: "string", 2: "file", 3: "int", 4: "pulldown", 6: "bool", 7: "double", 8: "float", 10: "channels"},
    **{11: "channel", 12: "xy", 14: "wh", 15: "bbox", 17: "format", 18: "colour", 20: "tab", 22: "button"},
    **{26: "text", 28: "multiline", 30: "uv", 32: "tcl button", 41: "link", 43: "eval string", 44: "view"},
}
OPTIONS = {"l": 1, "t": 1, "T": 1, "M": 1, "R": 2, "n": 1}


class ScriptError(Exception):
    """The text is not a Nuke script."""


@dataclass
class UserKnob:
    """One addUserKnob. `options`: the words after each letter; `menu`: of a pulldown."""

    kind: int
    name: str
    options: dict[str, list[str]]
    flags: list[str]
    menu: list[str]

    def text(self, letter: str) -> str:
        return (self.options.get(letter) or [""])[0]


@dataclass
class Node:
    """A node: knobs as the text has them, user knobs, and what feeds its inputs (input 0 first)."""

    cls: str
    knobs: dict[str, str]
    user: list[UserKnob]
    inputs: list[Node | None]
    twice: list[str]
    inside: list[Node] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.knobs.get("name", "")

    def child(self, name: str) -> Node | None:
        return next((node for node in self.inside if node.name == name), None)


class _Reader:
    def __init__(self) -> None:
        self.tcl = tkinter.Tcl()
        self.top: list[Node] = []
        self.open: list[tuple[Node, list[Any]]] = []
        self.stack: list[Any] = []
        self.handles: dict[str, Node] = {}
        self.layers: dict[str, list[str]] = {}

    def read(self, text: str) -> None:
        self.tcl.call("interp", "create", "-safe", "script")
        for word, call in {
            "unknown": self._node,
            "push": self._push,
            "stack": self._stack,
            "end_group": self._end_group,
            "version": lambda *_: "",
            "add_layer": self._layer,
        }.items():
            self.tcl.createcommand("host_" + word, call)
            self.tcl.call("interp", "alias", "script", word, "", "host_" + word)
        try:
            self.tcl.call("interp", "eval", "script", text)
        except tkinter.TclError as error:
            raise ScriptError(f"Tcl: {error}") from None
        if self.open:
            raise ScriptError(f"{self.open[-1][0].cls} is never closed by end_group")

    def _words(self, text: str, where: str) -> list[str]:
        try:
            return [str(word) for word in self.tcl.splitlist(text)]
        except tkinter.TclError as error:
            raise ScriptError(f"{where}: not a Tcl list: {error}") from None

    def _node(self, cls: str, *rest: str) -> str:
        if len(rest) != 1:
            raise ScriptError(f"unknown command {cls} with {len(rest)} words")
        words = self._words(rest[0], cls)
        if len(words) % 2:
            raise ScriptError(f"{cls}: a knob without a value")
        pairs = list(zip(words[::2], words[1::2], strict=True))
        user = [self._user(value) for name, value in pairs if name == "addUserKnob"]
        plain = [pair for pair in pairs if pair[0] != "addUserKnob"]
        names = [name for name, _ in plain]
        knobs = dict(plain)
        count = sum(int(part) for part in knobs.get("inputs", "1").split("+"))
        is_group = cls in GROUPS
        if not is_group and len(self.stack) < count:
            raise ScriptError(f"{knobs.get('name')}: {count} inputs, but {len(self.stack)} nodes before it")
        inputs = [None] * count if is_group else [self.stack.pop() for _ in range(count)]
        node = Node(cls, knobs, user, inputs, [name for name in set(names) if names.count(name) > 1])
        (self.open[-1][0].inside if self.open else self.top).append(node)
        if is_group:
            self.open.append((node, self.stack))
            self.stack = []
        else:
            self.stack.append(node)
        return ""

    def _user(self, text: str) -> UserKnob:
        words = self._words(text, "addUserKnob")
        if len(words) < 2 or not words[0].isdigit():
            raise ScriptError(f"addUserKnob {text[:40]}: needs a number and a name")
        knob, rest = UserKnob(int(words[0]), words[1], {}, [], []), words[2:]
        while rest:
            word = rest.pop(0)
            if word[:1] in ("+", "-") and word[1:2].isalpha():
                knob.flags.append(word)
            elif word in OPTIONS and len(rest) >= OPTIONS[word]:
                knob.options[word] = [rest.pop(0) for _ in range(OPTIONS[word])]
            else:
                raise ScriptError(f"{knob.name}: what is {word!r}?")
        knob.menu = self._words(knob.text("M"), knob.name)
        return knob

    def _push(self, handle: str) -> str:
        if handle not in self.handles and handle != "0":
            raise ScriptError(f"push of {handle}, which is no node")
        self.stack.append(self.handles.get(handle))
        return ""

    def _stack(self, depth: str) -> str:
        node = self.stack[-1 - int(depth)]
        handle = f"N{len(self.handles) + 1}"
        self.handles[handle] = node
        return handle

    def _layer(self, text: str) -> str:
        name, *channels = self._words(text, "add_layer")
        self.layers[name] = channels
        return ""

    def _end_group(self) -> str:
        if not self.open:
            raise ScriptError("end_group without a group")
        node, self.stack = self.open.pop()
        self.stack.append(node)
        return ""


@dataclass
class Script:
    """A file's top nodes and the layers it makes."""

    nodes: list[Node]
    layers: dict[str, list[str]]


def read_script(text: str) -> Script:
    """Evaluate a script. Raises ScriptError."""
    reader = _Reader()
    failed: list[ScriptError] = []

    def keep(call: Any) -> Any:
        def guarded(*words: str) -> Any:
            try:
                return call(*words)
            except ScriptError as error:
                failed.append(error)
                raise

        return guarded

    for name in ("_node", "_push", "_end_group", "_layer", "_stack"):
        setattr(reader, name, keep(getattr(reader, name)))
    try:
        reader.read(text)
    except ScriptError:
        # Tcl's own message says less than ours.
        raise (failed[0] if failed else _last()) from None
    return Script(reader.top, reader.layers)


def _last() -> BaseException:
    import sys

    error = sys.exc_info()[1]
    assert error is not None
    return error
