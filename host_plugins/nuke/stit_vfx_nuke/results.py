"""What is done with a result or a job: bake it, hand it to a farm, take what a farm made."""

from __future__ import annotations

import os
from typing import Any

from . import adapter, settings, shared
from .asking import ask
from .cooking import alone, show_version
from .preparing import Prepared, colour, prepare
from .settings import SettingsError


def bake(node: Any) -> None:
    told = adapter.values(node, ("cooked", "shown_version"))
    if not told["cooked"]:
        raise SettingsError("There is no cook to bake. Press Cook.")
    adapter.bake(node, str(told["shown_version"]))


def export_job(node: Any) -> None:
    """The job, and the command that cooks it."""
    prepared = prepare(node)
    adapter.put(node, job_file=prepared.job_file)
    try:
        command = shared.command_text(shared.engine(), prepared.words())
    except shared.EngineError:  # the machine that cooks it has one
        command = " ".join(["stit", *prepared.words()])
    adapter.put(node, status="job written")
    adapter.say("{}\n\n{}".format(prepared.job_file, command))


def submit(node: Any) -> None:
    """Hand the job to the engine's own submitter, which writes it for a farm or sends it there."""
    prepared = prepare(node)
    adapter.put(node, job_file=prepared.job_file)
    farm = str(adapter.values(node, ("farm",))["farm"])
    args = ["submit", prepared.job_file, *settings.farm_words(farm), "--json"]
    if prepared.device != "auto":
        args.append("--device={}".format(prepared.device))
    if prepared.colour.flag:
        args.append("--ocio={}".format(prepared.colour.flag))

    def done(told: Any) -> None:
        status, text = settings.submitted(told, farm)
        adapter.put(node, status=status)
        adapter.say(text)

    ask(node, args, prepared.colour, done)


def latest(node: Any) -> None:
    """The newest finished version, whoever made it."""
    told = adapter.values(node, ("shot", "out_dir", "cooked_settings"))
    shot = settings.shot_name(told["shot"], adapter.script_path(), adapter.name_of(node))
    folder = settings.newest_version(os.path.join(str(told["out_dir"]), shot + ".stit"))
    if folder is None:
        raise SettingsError("There is no finished version of {} yet.".format(shot))
    facts, chosen = adapter.read_facts(node), colour(node)
    as_is = facts is not None and settings.usable_as_is(facts, (facts.first,), chosen)
    prepared = Prepared(
        os.path.dirname(os.path.dirname(folder)),
        "",
        (),
        "auto",
        chosen,
        facts.raw if facts is not None and as_is else True,
        facts.space if facts is not None and as_is else "",
        str(told["cooked_settings"]),
    )
    show_version(node, folder, prepared)
    adapter.put(node, status="shows {}".format(os.path.basename(folder)))


def from_input(node: Any) -> None:
    first, last = adapter.input_range(node)
    adapter.put(node, first=first, last=last, frames="")


def face_here(node: Any) -> None:
    adapter.put(node, face_frame=adapter.frame_now())


def update_node(node: Any) -> None:
    alone(node)
    if adapter.confirm("Replace this node by the installed version of it?"):
        adapter.later(adapter.replace_node, node, "StitFaceEdit")
