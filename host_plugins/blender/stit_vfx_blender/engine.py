"""The engine from Blender's side: the session that all hosts share, and the words of each command.

Nothing here knows Blender.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import TYPE_CHECKING, Any, Dict, List, Sequence

if TYPE_CHECKING:
    from types import ModuleType

HERE = os.path.dirname(os.path.abspath(__file__))
PLUGIN = os.path.dirname(HERE)


def _load_session() -> ModuleType:
    """The copy that was packed with the add-on, or the one of the source tree beside it."""
    name = __name__.rpartition(".")[0] + ".stit_session"
    if name in sys.modules:
        return sys.modules[name]
    places = (os.path.join(HERE, "stit_session"), os.path.join(PLUGIN, os.pardir, "common", "stit_session"))
    folder = next(place for place in places if os.path.isfile(os.path.join(place, "__init__.py")))
    spec = importlib.util.spec_from_file_location(
        name, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


stit_session: Any = _load_session()
EngineError = stit_session.EngineError


def find(preference: str) -> Any:
    """The engine to use. Raises EngineError with text for a dialog."""
    return stit_session.find_engine(preference.strip() or None, beside=PLUGIN)


def environment() -> Dict[str, str]:
    """The engine's environment: nothing of Blender's Python in it, but its $OCIO."""
    env: Dict[str, str] = stit_session.clean_environment("blender")
    return env


def machine_words(device: str, ocio: str | None, pack_path: str = "") -> List[str]:
    """Flags that say how, not what: the same for every command."""
    words = ["--device={}".format(device)] if device and device != "auto" else []
    words += ["--ocio={}".format(ocio)] if ocio else []
    return words + (["--pack-path={}".format(pack_path)] if pack_path else [])


def cook_words(job_path: str, machine: Sequence[str]) -> List[str]:
    return ["run", job_path, *machine]


def preview_words(job_path: str, frame: int, picture: str, machine: Sequence[str]) -> List[str]:
    return ["preview", job_path, "--frame", str(frame), "--out", picture, *machine]


def faces_words(
    pattern: str, frames: str, picture: str, colourspace: str | None, machine: Sequence[str]
) -> List[str]:
    words = ["faces", pattern, "--frames", frames, "--picture", picture, "--json", "--events", "text"]
    return words + (["--colourspace", colourspace] if colourspace else []) + list(machine)


def packs_of(command: Any, pack_path: str = "") -> List[Dict[str, Any]]:
    """Every usable pack that the engine knows, as `stit packs show` describes it. Blocks for seconds."""
    env, search = environment(), ["--pack-path", pack_path] if pack_path else []
    listed = stit_session.ask(command, ["packs", "list", "--json", *search], env=env)
    shown = []
    for entry in listed:
        if not entry.get("problem"):
            words = ["packs", "show", str(entry["name"]), "--json", *search]
            shown.append(stit_session.ask(command, words, env=env))
    return shown
