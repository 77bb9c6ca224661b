"""Questions to the engine: which faces, which edits, is this machine fit, what may go from the cache."""

from __future__ import annotations

import json
import os
from typing import Any, Callable, Mapping, Sequence, Tuple

from . import adapter, settings, shared, work
from .cooking import alone
from .preparing import Prepared, colour, environment, prepare, sliders
from .settings import EDIT, Colour, SettingsError
from .telling import fail, telling
from .tile import show_box


def ask(node: Any, args: Sequence[str], chosen: Colour, done: Callable[[Any], None]) -> None:
    """Ask beside Nuke; `done` gets the answer on the main thread."""
    alone(node)
    name = adapter.name_of(node)
    question = shared.Question(shared.engine(), args, env=environment(chosen)).start()
    work.RUNNING[name] = question

    def body(show: work.Show) -> None:
        try:
            answer = work.wait_for(question, telling(node, show))
        except shared.EngineError as error:
            adapter.later(fail, node, error)
            return
        finally:
            work.RUNNING.pop(name, None)
        adapter.later(done, answer)

    adapter.in_background("STIT {}".format(name), body)


def analyze(node: Any) -> None:
    """Find the faces, for the menu and the overlay."""
    alone(node)
    prepared = prepare(node, suffix="_analysis", any_face=True)
    values = adapter.values(node, ("finder", "device"))
    plate = _plate_of(prepared)
    args = ["faces", plate, "--json", "--frames={}".format(shared.frame_range(prepared.frames))]
    args += ["--colourspace={}".format(prepared.colour.space), "--finder={}".format(values["finder"])]
    args += ["--device={}".format(values["device"])]
    if prepared.colour.flag:
        args.append("--ocio={}".format(prepared.colour.flag))

    def done(told: Any) -> None:
        faces = settings.faces_found(told)
        before = str(adapter.values(node, ("face",))["face"])
        menu = ["largest", "at point", *(face.words for face in faces)]
        adapter.put_menu(node, "face", menu)
        adapter.put(node, faces=settings.faces_text(faces), face=before if before in menu else "largest")
        show_box(node)
        adapter.put(node, status="{} {} found".format(len(faces), "face" if len(faces) == 1 else "faces"))

    ask(node, args, prepared.colour, done)


def _plate_of(prepared: Prepared) -> str:
    with open(prepared.job_file, encoding="utf-8") as file:
        return str(json.load(file)["plate"])


def refresh_edits(node: Any) -> None:
    """Sliders as the pack has them: unknown ones hidden, new ones on the last tab."""
    pack = str(adapter.values(node, ("pack",))["pack"]) or "builtin"
    chosen = colour(node)

    def done(told: Any) -> None:
        named = told.get("directions") if isinstance(told, dict) else None
        known = {EDIT + name: _direction(name, fields) for name, fields in (named or {}).items()}
        here = sliders(node)
        for name in here:
            title, low, high = known.get(name, ("", -1.0, 1.0))
            adapter.shape_slider(node, name, visible=name in known, low=low, high=high)
        for name, (title, low, high) in known.items():
            if name not in here and name.isidentifier():
                tip = "Strength of the pack's edit {}. 0 leaves the plate as it is.".format(name[len(EDIT) :])
                adapter.add_slider(node, name, title, low, high, tip)
        licence = "{}; commercial use: {}".format(told.get("licence"), told.get("commercial_use"))
        adapter.put(node, licence=licence, status="{} edits".format(len(known)))

    ask(node, ["packs", "show", pack, "--json"], chosen, done)


def _direction(name: str, fields: Mapping[str, Any]) -> Tuple[str, float, float]:
    """Title and range of a direction."""
    limits = fields.get("range")
    low, high = limits if isinstance(limits, list) and len(limits) == 2 else (-1.0, 1.0)
    return str(fields.get("title") or name), float(low), float(high)


def test_engine(node: Any) -> None:
    """Which engine, and what this machine has."""
    engine = shared.engine()
    clean = environment(colour(node))
    info = shared.probe(engine, env=clean)
    found = "{}, by {}".format(info, engine.source)
    checks = shared.doctor(engine, env=clean)["checks"]
    lines = ["{}: {}".format(check.get("name"), check.get("found")) for check in checks]
    adapter.put(node, engine_found=found)
    adapter.say("\n".join([found, str(engine), *lines]))


def clear_cache(node: Any) -> None:
    """What no version needs goes; the engine decides what that is."""
    values = adapter.values(node, ("shot", "out_dir"))
    shot = settings.shot_name(values["shot"], adapter.script_path(), adapter.name_of(node))
    folder = os.path.join(str(values["out_dir"]), shot + ".stit")
    if not os.path.isdir(folder):
        raise SettingsError("This shot has no cache yet.")
    megabytes = settings.folder_bytes(os.path.join(folder, "cache")) / 1e6
    question = "The cache of {} has {:.0f} MB. Remove what no version needs?".format(shot, megabytes)
    if adapter.confirm(question):

        def done(_told: Any) -> None:
            left = settings.folder_bytes(os.path.join(folder, "cache")) / 1e6
            adapter.put(node, status="cache: {:.0f} MB freed".format(megabytes - left))

        ask(node, ["gc", folder, "--json"], colour(node), done)
