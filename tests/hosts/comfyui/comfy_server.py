"""As much of ComfyUI's server as decides whether nodes work in it: loading, checking a prompt, running it.

Written from ComfyUI's documentation of custom nodes. A prompt is {id: {"class_type", "inputs"}}; a link is
[id, number of the output].
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple

WIDGETS = {"INT": int, "FLOAT": (int, float), "STRING": str, "BOOLEAN": bool}


class Refused(Exception):
    """A prompt that ComfyUI would not queue."""


class Server:
    """`ran`: ids in the order in which they were executed; `shown`: what the browser gets of output nodes."""

    def __init__(self, package: Any) -> None:
        self.classes: Mapping[str, Any] = package.NODE_CLASS_MAPPINGS
        self.ran: List[str] = []
        self.shown: Dict[str, Any] = {}
        self._kept: Dict[str, Tuple[Any, Any]] = {}
        self._objects: Dict[str, Any] = {}

    def queue(self, prompt: Mapping[str, Any]) -> None:
        """Check the prompt, and run what its output nodes need and is not kept."""
        outputs = [
            name
            for name, node in prompt.items()
            if getattr(self._class(node), "OUTPUT_NODE", False) and not self.check(prompt, name)
        ]
        if not outputs:
            raise Refused("Prompt has no outputs")
        self.ran = []
        for name in outputs:
            self._run(prompt, name)

    def _class(self, node: Mapping[str, Any]) -> Any:
        if node["class_type"] not in self.classes:
            raise Refused("Node {!r} not found".format(node["class_type"]))
        return self.classes[node["class_type"]]

    def check(self, prompt: Mapping[str, Any], name: str) -> None:
        """Raise Refused for what is wrong with a node, or with what it is made from."""
        node = prompt[name]
        cls = self._class(node)
        groups = cls.INPUT_TYPES()
        own_checks = getattr(cls, "VALIDATE_INPUTS", None)
        checked = set(inspect.signature(own_checks).parameters) if own_checks else set()
        for group, inputs in groups.items():
            for key, told in inputs.items():
                if key not in node["inputs"]:
                    if group == "required":
                        raise Refused("{}: required input is missing: {}".format(name, key))
                    continue
                value, kind = node["inputs"][key], told[0]
                limits = told[1] if len(told) > 1 else {}
                if isinstance(value, list):
                    source = self._class(prompt[value[0]])
                    given = source.RETURN_TYPES[value[1]]
                    if given != kind:
                        raise Refused("{}: {} gets {}, not {}".format(name, key, given, kind))
                    self.check(prompt, value[0])
                    continue
                if key in checked:
                    continue
                if isinstance(kind, list):
                    if value not in kind:
                        raise Refused("{}: value not in list: {}".format(name, key))
                elif kind not in WIDGETS or limits.get("forceInput"):
                    raise Refused("{}: {} has to be a link".format(name, key))
                elif not isinstance(value, WIDGETS[kind]):  # type: ignore[arg-type]
                    raise Refused("{}: {} is no {}".format(name, key, kind))
                if "min" in limits and not limits["min"] <= value <= limits["max"]:
                    raise Refused("{}: value out of range: {}".format(name, key))
        if own_checks:
            told = own_checks(**{key: node["inputs"].get(key) for key in checked})
            if told is not True:
                raise Refused("{}: {}".format(name, told))

    def _values(self, prompt: Mapping[str, Any], name: str) -> Dict[str, Any]:
        return {
            key: self._run(prompt, value[0])[value[1]] if isinstance(value, list) else value
            for key, value in prompt[name]["inputs"].items()
        }

    def _signature(self, prompt: Mapping[str, Any], name: str) -> Any:
        """What a node's result depends on: its class, its inputs, what it says of itself, and its sources."""
        node = prompt[name]
        cls = self._class(node)
        fixed = {key: value for key, value in node["inputs"].items() if not isinstance(value, list)}
        changed = cls.IS_CHANGED(**fixed) if hasattr(cls, "IS_CHANGED") else None
        links = {
            key: (value[1], self._signature(prompt, value[0]))
            for key, value in node["inputs"].items()
            if isinstance(value, list)
        }
        return repr((node["class_type"], sorted(fixed.items()), changed, sorted(links.items())))

    def _run(self, prompt: Mapping[str, Any], name: str) -> Any:
        signature = self._signature(prompt, name)
        if name in self._kept and self._kept[name][0] == signature:
            return self._kept[name][1]
        values = self._values(prompt, name)
        cls = self._class(prompt[name])
        made = getattr(self._objects.setdefault(name, cls()), cls.FUNCTION)(**values)
        if isinstance(made, dict):
            self.shown[name], made = made["ui"], made["result"]
        assert isinstance(made, tuple)
        assert len(made) == len(cls.RETURN_TYPES)
        self.ran.append(name)
        self._kept[name] = (signature, made)
        return made


def load(folder: Path) -> Any:
    """A custom node's package under the name that ComfyUI gives it, registered before it is executed."""
    name = str(folder).replace(".", "_x_")
    spec = importlib.util.spec_from_file_location(name, str(folder / "__init__.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def custom_nodes(comfyui: Path) -> List[Any]:
    """Every package of a ComfyUI's `custom_nodes`, loaded as it does; hidden and disabled folders are not."""
    found = []
    for folder in sorted((comfyui / "custom_nodes").iterdir()):
        if folder.is_dir() and not folder.name.startswith((".", "__")) and folder.suffix != ".disabled":
            found.append(load(folder))
    return [package for package in found if sys.modules.get(package.__name__) is package]
