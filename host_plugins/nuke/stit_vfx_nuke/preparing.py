"""From the panel to a job on disk: the plate as it arrives, if its own files will not do, and the job."""

from __future__ import annotations

import os
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

from . import adapter, settings, shared
from .settings import EDIT, JOB_KNOBS, Colour, SettingsError


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


def sliders(node: Any) -> List[str]:
    """The node's edits, in the order of the panel."""
    return [name for name in adapter.knob_names(node) if name.startswith(EDIT)]


def colour(node: Any) -> Colour:
    """What the engine is told of the plate's colour."""
    wish = str(adapter.values(node, ("plate_space",))["plate_space"]).strip()
    return settings.colour_of(adapter.root_colour(), wish=wish, variable=os.environ.get("OCIO", ""))


def environment(chosen: Colour) -> Dict[str, str]:
    return shared.environment(ocio=chosen.ocio, host_folder=adapter.nuke_folder())


def prepare(
    node: Any, frames: Sequence[int] | None = None, *, suffix: str = "", any_face: bool = False
) -> Prepared:
    """Write the plate, if its own files will not do, and the job. `any_face`: whoever was chosen before."""
    values = adapter.values(node, JOB_KNOBS)
    if any_face:
        values["face"] = "largest"
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
    # Nodes may share a shot, so that it is tuned once; each has its own job to go on with.
    own = settings.shot_name("", "", adapter.name_of(node))
    path = shared.write_job(os.path.join(out_dir, "{}.{}{}.job.json".format(shot, own, suffix)), job)
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
