"""What each button does. Cooking is three steps: the plate as it arrives, the engine, its version shown.

Nothing here runs while a knob is scrubbed. Every failure is one dialog: what, where, what to do, a code, the
engine's last lines.
"""

from __future__ import annotations

import os
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Sequence, Tuple

from . import adapter, settings, shared, work
from .settings import EDIT, JOB_KNOBS, Colour, SettingsError

_EXPECTED = (SettingsError, ValueError, RuntimeError, OSError, shared.EngineError)


class Prepared(NamedTuple):
    """A job on disk, ready to be cooked, and how its result is to be read."""

    shot_folder: str
    job_file: str
    frames: Sequence[int]
    device: str
    colour: Colour
    raw: bool
    space: str
    fingerprint: str

    def words(self) -> List[str]:
        """The engine's words for it."""
        device = None if self.device == "auto" else self.device
        return shared.run_words(self.job_file, device=device, ocio=self.colour.flag)


class Outcome(NamedTuple):
    """How a cook ended, for a batch run."""

    exit_status: int
    text: str


# How each node's last cook ended.
OUTCOMES: Dict[str, Outcome] = {}


def press(node: Any, button: str) -> None:
    """Do what a button says; failures become a dialog and the status line."""
    try:
        _BUTTONS[button](node)
    except _EXPECTED as error:
        fail(node, error)


def fail(node: Any, error: Exception) -> None:
    """Tell the artist what went wrong."""
    text = error.dialog() if isinstance(error, shared.EngineError) else str(error)
    adapter.put(node, status=_one_line(text))
    adapter.say(text)


def _one_line(text: str) -> str:
    return " ".join(text.split("\n")[0].split())


# From the panel to a job ----------------------------------------------------------------------------------


def sliders(node: Any) -> List[str]:
    """The node's edits, in the order of the panel."""
    return [name for name in adapter.knob_names(node) if name.startswith(EDIT)]


def colour(node: Any) -> Colour:
    """What the engine is told of the plate's colour."""
    wish = str(adapter.values(node, ("plate_space",))["plate_space"]).strip()
    return settings.colour_of(adapter.root_colour(), wish=wish, variable=os.environ.get("OCIO", ""))


def environment(chosen: Colour) -> Dict[str, str]:
    return shared.environment(ocio=chosen.ocio, host_folder=adapter.nuke_folder())


def prepare(node: Any, frames: Sequence[int] | None = None, *, suffix: str = "") -> Prepared:
    """Write the plate, if its own files will not do, and the job."""
    values = adapter.values(node, JOB_KNOBS)
    asked = settings.frames_of(values) if frames is None else list(frames)
    chosen = colour(node)
    shot = settings.shot_name(values["shot"], adapter.script_path(), adapter.name_of(node))
    out_dir = str(values["out_dir"])
    if not os.path.isabs(out_dir):
        raise SettingsError("The output folder {!r} is not a whole path. Save the script.".format(out_dir))
    facts = adapter.read_facts(node)
    strengths = {name[len(EDIT) :]: adapter.samples(node, name, asked) for name in sliders(node)}
    as_is = facts is not None and settings.usable_as_is(facts, asked, chosen)
    if facts is not None and as_is:
        plate = facts.file
    else:
        plate = "/".join((out_dir, shot + ".plate", shot + suffix + ".%04d.exr"))
        ranges = _ranges(asked)
        adapter.render_plate(node, plate, ranges, view=values["view"], pixel=values["plate_pixel"])
    job = settings.job_of(
        values,
        strengths,
        shot=shot,
        plate=plate,
        colourspace=chosen.space,
        frames=asked,
        height=adapter.plate_height(node),
    )
    path = shared.write_job(os.path.join(out_dir, "{}{}.job.json".format(shot, suffix)), job)
    adapter.put(node, colour_found=str(chosen))
    return Prepared(
        shot_folder=os.path.join(out_dir, shot + ".stit"),
        job_file=path,
        frames=asked,
        device=str(values["device"]),
        colour=chosen,
        # The result has the plate's own values. Files that were read raw, or written by us, are shown raw.
        raw=facts.raw if facts is not None and as_is else True,
        space=facts.space if facts is not None and as_is else "",
        fingerprint=fingerprint(node),
    )


def _ranges(frames: Sequence[int]) -> List[Tuple[int, int, int]]:
    """Frames as Nuke's execute takes them: first, last, step."""
    result = []
    for word in shared.frame_range(frames).split(","):
        span = settings.frames_of({"frames": word})
        result.append((span[0], span[-1], span[1] - span[0] if len(span) > 1 else 1))
    return result


def fingerprint(node: Any) -> str:
    """The settings that a cook depends on, in one word."""
    names = [name for name in JOB_KNOBS if name not in settings.NOT_STALE]
    return settings.hashed(adapter.written(node, [*names, *sliders(node)]))


# Cooking --------------------------------------------------------------------------------------------------


def cook(node: Any) -> None:
    _alone(node)
    engine = shared.engine()
    prepared = prepare(node)
    adapter.put(node, job_file=prepared.job_file)
    run(node, engine, prepared)


def resume(node: Any) -> None:
    """The last job again, as it was written: the engine does what is not on disk."""
    _alone(node)
    told = adapter.values(node, ("job_file", "device", "cooked_settings"))
    path = str(told["job_file"])
    if not os.path.isfile(path):
        raise SettingsError("There is no cook to go on with. Press Cook.")
    shot = os.path.basename(path)[: -len(".job.json")]
    prepared = Prepared(
        shot_folder=os.path.join(os.path.dirname(path), shot + ".stit"),
        job_file=path,
        frames=(),
        device=str(told["device"]),
        colour=colour(node),
        raw=True,
        space="",
        fingerprint=str(told["cooked_settings"]),
    )
    facts = adapter.read_facts(node)
    if facts is not None and settings.usable_as_is(facts, (facts.first,), prepared.colour):
        prepared = prepared._replace(raw=facts.raw, space=facts.space)
    run(node, shared.engine(), prepared)


def run(node: Any, engine: shared.EngineCommand, prepared: Prepared) -> None:
    """Start the engine on a prepared job; what is left to do comes when it is over."""
    session = shared.Session(
        engine,
        prepared.words(),
        env=environment(prepared.colour),
        cwd=os.path.dirname(prepared.job_file),
        expects=("comp", "matte"),
    )
    name = adapter.name_of(node)
    session.start()
    work.RUNNING[name] = session

    def body(show: work.Show) -> None:
        try:
            work.watch(session, _telling(node, show))
        finally:
            work.RUNNING.pop(name, None)
        adapter.later(_finish, node, session, prepared)

    adapter.in_background("STIT {}".format(name), body)


def _telling(node: Any, show: work.Show) -> work.Show:
    """Also tell the panel, but only what is new: each telling is a job for Nuke's main thread."""
    last: List[str] = []

    def both(fraction: float, text: str) -> bool:
        if last != [text]:
            last[:] = [text]
            adapter.later(_status, node, text)
        return show(fraction, text)

    return both


def _status(node: Any, text: str) -> None:
    adapter.put(node, status=text)


def _finish(node: Any, session: shared.Session, prepared: Prepared) -> None:
    """`finish`, with its failures told; a batch run reads the outcome."""
    try:
        OUTCOMES[adapter.name_of(node)] = finish(node, session, prepared)
    except _EXPECTED as error:
        fail(node, error)


def finish(node: Any, session: shared.Session, prepared: Prepared) -> Outcome:
    """The engine is gone: show its version, or say why there is none."""
    if session.state == "cancelled":
        adapter.put(node, status="cancelled; Resume goes on")
        return Outcome(130, "cancelled")
    if session.error is not None:
        text = session.error.dialog(log_lines=8)
        adapter.put(node, status=_one_line(text))
        adapter.say(text)
        return Outcome(session.exit_status or 1, session.error.text)
    result: Mapping[str, Any] = session.result or {}
    version = str(result.get("version") or "")
    show_version(node, os.path.join(prepared.shot_folder, "out", version), prepared)
    notes = ["{} ({})".format(notice.text, notice.code) for notice in session.notices]
    partial = ["some frames are the plate's own"] if session.partial else []
    adapter.put(node, status="; ".join(["done", *partial, *notes[:3]]))
    return Outcome(session.exit_status or 0, "done")


def show_version(node: Any, folder: str, prepared: Prepared) -> None:
    """Point the node at a version. Raises SettingsError if its frames are not there."""
    comp = settings.sequence_in(os.path.join(folder, "comp"))
    matte = settings.sequence_in(os.path.join(folder, "matte"))
    if comp is None or matte is None:
        raise SettingsError("There are no EXR frames in {}.".format(folder))
    adapter.show_cook(node, comp[0], matte[0], comp[1:], raw=prepared.raw, space=prepared.space)
    adapter.put(node, shown_version=os.path.basename(folder), cooked_settings=prepared.fingerprint)
    tell_tile(node)


def cancel(node: Any) -> None:
    if not work.stop(adapter.name_of(node)):
        adapter.put(node, status="nothing is running")


def _alone(node: Any) -> None:
    if adapter.name_of(node) in work.RUNNING:
        raise SettingsError("This node is cooking. Cancel it, or wait.")


# Questions to the engine ----------------------------------------------------------------------------------


def _ask(node: Any, args: Sequence[str], chosen: Colour, done: Callable[[Any], None]) -> None:
    """Ask beside Nuke; `done` gets the answer on the main thread."""
    _alone(node)
    name = adapter.name_of(node)
    question = shared.Question(shared.engine(), args, env=environment(chosen)).start()
    work.RUNNING[name] = question

    def body(show: work.Show) -> None:
        try:
            answer = work.wait_for(question, _telling(node, show))
        except shared.EngineError as error:
            adapter.later(fail, node, error)
            return
        finally:
            work.RUNNING.pop(name, None)
        adapter.later(done, answer)

    adapter.in_background("STIT {}".format(name), body)


def analyze(node: Any) -> None:
    """Find the faces, for the menu and the overlay."""
    _alone(node)
    prepared = prepare(node, suffix="_analysis")
    values = adapter.values(node, ("finder", "device"))
    plate = _plate_of(prepared)
    args = ["faces", plate, "--json", "--frames={}".format(shared.frame_range(prepared.frames))]
    args += ["--colourspace={}".format(prepared.colour.space), "--finder={}".format(values["finder"])]
    args += ["--device={}".format(values["device"])]
    if prepared.colour.flag:
        args.append("--ocio={}".format(prepared.colour.flag))
    height = adapter.plate_height(node)

    def done(told: Any) -> None:
        faces = settings.faces_found(told)
        before = str(adapter.values(node, ("face",))["face"])
        menu = ["largest", "at point", *(words for words, _ in faces)]
        adapter.put_menu(node, "face", menu)
        adapter.put(node, face=before if before in menu else "largest")
        if faces:
            adapter.put(node, face_box=settings.nuke_box(faces[0][1], height))
        adapter.put(node, status="{} {} found".format(len(faces), "face" if len(faces) == 1 else "faces"))

    _ask(node, args, prepared.colour, done)


def _plate_of(prepared: Prepared) -> str:
    import json

    with open(prepared.job_file, encoding="utf-8") as file:
        return str(json.load(file)["plate"])


def preview(node: Any) -> None:
    """Plate and edit of one frame, beside each other."""
    _alone(node)
    engine, frame = shared.engine(), adapter.frame_now()
    prepared = prepare(node, [frame], suffix="_preview")
    picture = os.path.splitext(prepared.job_file)[0] + ".{:04d}.png".format(frame)
    words = ["preview", prepared.job_file, "--frame={}".format(frame), "--out={}".format(picture)]
    words += ["--device={}".format(prepared.device)]
    if prepared.colour.flag:
        words.append("--ocio={}".format(prepared.colour.flag))
    session = shared.Session(engine, words, env=environment(prepared.colour), expects=("preview",)).start()
    name = adapter.name_of(node)
    work.RUNNING[name] = session

    def done() -> None:
        if session.state == "cancelled":
            adapter.put(node, status="cancelled")
        elif session.error is not None:
            adapter.put(node, status=_one_line(session.error.text))
            adapter.say(session.error.dialog(log_lines=8))
        else:
            adapter.show_preview(node, picture.replace(os.sep, "/"), frame)
            adapter.put(node, status="preview of frame {}".format(frame))

    def body(show: work.Show) -> None:
        try:
            work.watch(session, _telling(node, show))
        finally:
            work.RUNNING.pop(name, None)
        adapter.later(done)

    adapter.in_background("STIT {}".format(name), body)


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

    _ask(node, ["packs", "show", pack, "--json"], chosen, done)


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

        _ask(node, ["gc", folder, "--json"], colour(node), done)


# Results and farms ----------------------------------------------------------------------------------------


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
    """Hand the job to the engine's own submitter."""
    prepared = prepare(node)
    adapter.put(node, job_file=prepared.job_file)
    farm = str(adapter.values(node, ("farm",))["farm"])

    def done(_told: Any) -> None:
        adapter.put(node, status="sent to {}".format(farm))

    _ask(node, ["submit", prepared.job_file, "--to", farm, "--json"], prepared.colour, done)


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
    _alone(node)
    if adapter.confirm("Replace this node by the installed version of it?"):
        adapter.later(adapter.replace_node, node, "StitFaceEdit")


_BUTTONS: Dict[str, Callable[[Any], None]] = {
    **{"analyze": analyze, "cancel": cancel, "face_here": face_here, "refresh_edits": refresh_edits},
    **{"from_input": from_input, "preview": preview, "cook": cook, "resume": resume},
    **{"clear_cache": clear_cache, "bake": bake, "export_job": export_job, "submit": submit},
    **{"latest": latest, "test_engine": test_engine, "update_node": update_node},
}


# The tile -------------------------------------------------------------------------------------------------


def changed(node: Any, knob: Any) -> None:
    """A knob of the panel was changed."""
    name = knob.name()
    if (name in JOB_KNOBS and name not in settings.NOT_STALE) or name.startswith(EDIT):
        tell_tile(node)


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
