"""Computes what a gizmo puts out, pixel by pixel, for the few node classes that ours are made of.

Not Nuke: what its reference says of these nodes, in double precision. A picture is a list of pixels, a pixel
maps channels to numbers; blur and dilate are not computed (their sizes are 0 in the tests). Expressions are
handed to Tcl's `expr`, whose `?:`, `&&` and functions read alike.
"""

from __future__ import annotations

import re
import tkinter
from typing import Any

from nuke_script import Node

RGBA = dict(zip("rgba", ("rgba.red", "rgba.green", "rgba.blue", "rgba.alpha"), strict=True))
Pixel = dict[str, float]
Picture = list[Pixel]


class Graph:
    """A group with pictures on its inputs and in its Reads, and values for its knobs."""

    def __init__(self, group: Node, pictures: dict[str, Picture], **knobs: Any) -> None:
        self.group, self.pictures = group, pictures
        self.size = max(len(picture) for picture in pictures.values())
        self.knobs = {knob.name: self._value(knob.name, knob.menu) for knob in group.user} | knobs
        self.sizes: dict[str, float] = {}
        self.tcl = tkinter.Tcl()
        self.tcl.eval("proc ::tcl::mathfunc::clamp {v} {expr {min(max($v, 0.0), 1.0)}}")

    def _value(self, name: str, menu: list[str]) -> Any:
        value = self.group.knobs.get(name, "0")
        if menu:
            return menu.index(value) if value in menu else 0
        return {"true": 1, "false": 0}.get(value, value)

    def out(self) -> Picture:
        """What leaves the group."""
        return self.of(next(node for node in self.group.inside if node.cls == "Output").inputs[0])

    def of(self, node: Node | None) -> Picture:
        if node is None or (node.cls in ("Input", "Read") and node.name not in self.pictures):
            return [{} for _ in range(self.size)]
        if node.cls in ("Input", "Read"):
            return self.pictures[node.name]
        if node.cls == "Switch":
            return self.of(node.inputs[int(self._number(node, "which", 0))])
        feeds = [self.of(feed) for feed in node.inputs]
        call = getattr(self, "_" + node.cls.lower())
        return [call(node, *(feed[n] for feed in feeds)) for n in range(self.size)]

    def _number(self, node: Node, name: str, default: float) -> float:
        value = node.knobs.get(name)
        return default if value is None else self._expr(value.strip("{}"), {})

    def _expr(self, text: str, names: dict[str, float]) -> float:
        def word(match: re.Match[str]) -> str:
            path = match[0]
            if path.startswith("parent."):
                name, _, part = path[7:].partition(".")
                value = self.knobs[name]
                if part:
                    value = value.split()["xyrt".index(part)]
                return f"double({value})"
            return f"double({names[path]!r})" if path in names else path

        return float(self.tcl.eval("expr {" + re.sub(r"[A-Za-z_][\w.]*", word, text) + "}"))

    def _expressions(self, node: Node, base: Pixel, names: dict[str, float]) -> Pixel:
        for n in range(4):
            if f"temp_name{n}" in node.knobs:
                names[node.knobs[f"temp_name{n}"]] = self._expr(node.knobs[f"temp_expr{n}"], names)
        result = dict(base)
        for n, channel in enumerate(RGBA.values()):
            to = node.knobs.get(f"channel{n}", channel)
            if f"expr{n}" in node.knobs and to != "none":
                result[to] = self._expr(node.knobs[f"expr{n}"], names)
        return result

    def _expression(self, node: Node, base: Pixel) -> Pixel:
        names = {letter: base.get(channel, 0.0) for letter, channel in RGBA.items()}
        return self._expressions(node, base, names)

    def _mergeexpression(self, node: Node, b: Pixel, a: Pixel) -> Pixel:
        names = {
            f"{side}{letter}": pixel.get(channel, 0.0)
            for side, pixel in (("A", a), ("B", b))
            for letter, channel in RGBA.items()
        }
        return self._expressions(node, b, names | {"x": 0.0, "y": 0.0})

    def _copy(self, node: Node, b: Pixel, a: Pixel) -> Pixel:
        moved = {
            node.knobs[f"to{n}"]: a.get(node.knobs[f"from{n}"], 0.0)
            for n in range(4)
            if f"to{n}" in node.knobs
        }
        return b | moved

    def _merge2(self, node: Node, b: Pixel, a: Pixel) -> Pixel:
        call = {
            "plus": lambda x, y: x + y,
            "minus": lambda x, y: x - y,
            "max": max,
            "difference": lambda x, y: abs(x - y),
        }[node.knobs["operation"]]
        return b | {channel: call(a.get(channel, 0.0), b.get(channel, 0.0)) for channel in RGBA.values()}

    def _keymix(self, node: Node, b: Pixel, a: Pixel, mask: Pixel) -> Pixel:
        k = mask.get(node.knobs["maskChannel"], 0.0) * self._number(node, "mix", 1)
        rgb = list(RGBA.values())[:3]
        return b | {channel: a.get(channel, 0.0) * k + b.get(channel, 0.0) * (1 - k) for channel in rgb}

    def _same(self, _node: Node, base: Pixel) -> Pixel:
        return base

    _dilate = _blur = _same
