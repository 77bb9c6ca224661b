"""Between a strip and the pure modules: what it shows, what it asks for, and the strips of a result."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Mapping, Tuple

import bpy

from . import compat, jobs, plates, props
from .plates import PlateTrouble, StripPlate

KINDS = ("IMAGE", "MOVIE")


def is_plate(strip: Any) -> bool:
    """Whether a strip can be cooked: images or a movie, and not itself a result."""
    return strip is not None and strip.type in KINDS and not strip.stit_role


def plate_of(scene: Any, strip: Any) -> StripPlate:
    """What the strip shows between its handles. Raises PlateTrouble."""
    start, end = compat.handles(strip)
    if strip.type == "IMAGE":
        names = [strip.strip_elem_from_frame(frame).filename for frame in range(start, end)]
        return plates.plate_of_images(os.path.normpath(bpy.path.abspath(strip.directory)), names, start)
    _refuse_retimed(scene, strip)
    content_start, trimmed = compat.content_of(strip)
    path = os.path.normpath(bpy.path.abspath(strip.filepath))
    return plates.plate_of_movie(path, start, end - start, content_start=content_start, trimmed=trimmed)


def _refuse_retimed(scene: Any, strip: Any) -> None:
    """A movie whose frames are not shown one by one: Blender does not tell which frame is where."""
    if strip.use_reverse_frames or strip.strobe > 1:
        raise PlateTrouble("The movie runs backwards or is strobed. Cook first, then retime the result.")
    if abs(getattr(strip, "speed_factor", 1.0) - 1.0) > 1e-4 or len(getattr(strip, "retiming_keys", ())) > 2:
        raise PlateTrouble("The movie is retimed. Cook first, then retime the result.")
    rate = scene.render.fps / scene.render.fps_base
    if strip.fps and abs(strip.fps - rate) > 0.01:
        raise PlateTrouble(
            "The movie has {:.3g} frames a second and the scene {:.3g}, so frames are dropped or doubled. "
            "Set the scene's frame rate to the movie's.".format(strip.fps, rate)
        )


def strengths_of(scene: Any, strip: Any, plate: StripPlate) -> Dict[str, List[float]]:
    """Per edit of the strip's pack, slider times Strength on each frame. Raises PlateTrouble for drivers.

    Curves are evaluated, and the scene's frame is left where it is.
    """
    curves = {curve.data_path: curve for curve in compat.fcurves_of(scene) if not curve.mute}
    timeline = plate.timeline_of()
    at = [timeline[frame] for frame in plate.frames]
    overall = _sampled(scene, strip, "stit_strength", curves, at)
    told = {}
    for prop, direction in _sliders_of(strip).items():
        values = _sampled(scene, strip, prop, curves, at)
        told[direction] = [value * share for value, share in zip(values, overall)]
    return told


def _sliders_of(strip: Any) -> Dict[str, str]:
    """Property -> direction of the strip's pack; of all packs where it is not known here."""
    pack = props.pack_of(strip)
    known = [pack] if pack else list(props.packs().values())
    return {slider.prop: slider.direction for each in known for slider in each.sliders}


def _sampled(scene: Any, strip: Any, prop: str, curves: Mapping[str, Any], at: List[int]) -> List[float]:
    path = "{}.{}".format(strip.path_from_id(), prop)
    if compat.is_driven(scene, path):
        raise PlateTrouble("{} is driven. Bake the driver to keys first.".format(prop))
    curve = curves.get(path)
    if curve is None:
        return [getattr(strip, prop)] * len(at)
    limits = strip.bl_rna.properties[prop]
    # A curve may overshoot between its keys; the slider would not.
    return [min(max(curve.evaluate(frame), limits.hard_min), limits.hard_max) for frame in at]


def output_of(strip: Any) -> str:
    """The output folder, absolute. Raises JobTrouble where `//` has no .blend to start at."""
    if strip.stit_output.startswith("//") and not bpy.data.filepath:
        raise jobs.JobTrouble(
            "Save the .blend first, or choose an output folder that does not start with //."
        )
    folder = os.path.normpath(bpy.path.abspath(strip.stit_output or "//renders"))
    if not os.path.isabs(folder):
        raise jobs.JobTrouble("Save the .blend first, or choose a whole path for the output folder.")
    return folder


def own_config() -> bool:
    """Whether $OCIO is set: then Blender and the engine read the same config."""
    return bool(os.environ.get("OCIO"))


def blender_config() -> str:
    """The OCIO config that Blender brings."""
    return os.path.join(bpy.utils.system_resource("DATAFILES", path="colormanagement"), "config.ocio")


def ocio_for(plate: StripPlate) -> str | None:
    """The config that the engine must be told of; None: its own, or $OCIO, which it reads itself."""
    return blender_config() if jobs.needs_blender_config(plate, own_config=own_config()) else None


def colourspace_of(strip: Any, plate: StripPlate) -> str | None:
    """The job's colour space; None: what the plate's header says."""
    name, linear = strip.colorspace_settings.name, compat.scene_linear_name()
    return jobs.colourspace_for(
        plate,
        said=strip.stit_colourspace,
        strip_space=name,
        default_space=not linear or name in (linear, *compat.LINEAR_NAMES),
        own_config=own_config(),
    )


def colour_warning(scene: Any) -> str:
    """What is to be said of the scene's colour; empty if it is as a compositor's."""
    linear = compat.scene_linear_name()
    if not linear or scene.sequencer_colorspace_settings.name == linear:
        return ""
    return "The sequencer does not work in scene-linear light: opacity and blends differ from a compositor's."


def picture_warning(strip: Any) -> str:
    """What is to be said of a file that Blender shows black; empty if it shows it."""
    if strip.type == "IMAGE" and strip.elements and strip.elements[0].orig_width == 0:
        return "Blender cannot show this file (several layers or parts). The engine reads it all the same."
    return ""


def _face_of(strip: Any, plate: StripPlate) -> Dict[str, Any]:
    if strip.stit_face == "POINT":
        point = [round(strip.stit_face_x, 2), round(strip.stit_face_y, 2)]
        return {"point": point, "frame": plate.source_at(strip.stit_face_frame)}
    return jobs.face_from(strip.stit_face, props.faces_of(strip), plate.frames)


def job_of(scene: Any, strip: Any) -> Tuple[Dict[str, Any], StripPlate]:
    """The job that a strip asks for now. Raises PlateTrouble or JobTrouble."""
    plate = plate_of(scene, strip)
    holdout = bpy.path.abspath(strip.stit_holdout) if strip.stit_holdout else ""
    settings = jobs.Settings(
        strengths=strengths_of(scene, strip, plate),
        output=output_of(strip),
        shot=strip.stit_shot,
        pack=bpy.path.abspath(strip.stit_pack) or "builtin",
        colourspace=colourspace_of(strip, plate),
        face=_face_of(strip, plate),
        grow=strip.stit_matte_grow,
        soften=strip.stit_matte_soften,
        holdout=holdout,
        quality=strip.stit_quality,
        putback=strip.stit_putback,
        layers=strip.stit_layers,
        seed=strip.stit_seed,
        tune_steps=strip.stit_tune_steps,
        stitch_steps=strip.stit_stitch_steps,
        consent=strip.stit_consent,
    )
    return jobs.build_job(plate, settings, props.pack_of(strip)), plate


def add_result(
    scene: Any,
    strip: Any,
    plate: StripPlate,
    *,
    comp: Mapping[str, Any],
    matte: Mapping[str, Any],
    version: str,
) -> Tuple[Any, Any]:
    """The edit above the plate, and the matte above that, muted. A version that is there is refreshed.

    `comp`, `matte`: the engine's outputs. Older versions of the same plate are muted, not removed.
    """
    source = props.identify(scene, strip)
    older = [s for s in compat.all_strips(scene.sequence_editor) if s.stit_source == source and s.stit_role]
    same = {s.stit_role: s for s in older if _shows(s, version, plate)}
    for other in older:
        other.mute = True
    edit = same.get("edit") or _new_strip(scene, strip, plate, comp["path"], version, "edit")
    edit.mute = False
    edit.blend_type = "ALPHA_OVER"
    if plate.movie or not plate.pattern.lower().endswith(".exr"):
        compat.use_space(edit, str(comp.get("colorspace", ""))) or compat.use_space(
            edit, compat.scene_linear_name()
        )
    else:
        # The numbers are in the plate's own space, whichever Blender takes that for.
        compat.use_space(edit, strip.colorspace_settings.name)
    shape = same.get("matte") or _new_strip(scene, strip, plate, matte["path"], version, "matte")
    shape.mute = True
    compat.use_data_space(shape)
    for made in (edit, shape):
        compat.refresh(scene, made)
    scene.sequence_editor.active_strip = strip
    return edit, shape


def _shows(made: Any, version: str, plate: StripPlate) -> bool:
    start, end = compat.handles(made)
    return made.stit_version == version and (start, end) == (plate.start, plate.start + len(plate.sources))


def _new_strip(scene: Any, strip: Any, plate: StripPlate, pattern: str, version: str, role: str) -> Any:
    meta = strip.parent_meta()
    siblings = compat.strips_of(meta or scene.sequence_editor)
    files = [plates.file_of(pattern, frame) for frame in plate.sources]
    name = "{} {}{}".format(strip.name, version, "" if role == "edit" else " matte")
    channel = _free_channel(siblings, strip.channel + 1, plate.start, plate.start + len(files))
    made = siblings.new_image(name, files[0], channel, plate.start, fit_method="ORIGINAL")
    for file in files[1:]:
        made.elements.append(os.path.basename(file))
    compat.set_length(made, plate.start + len(files))
    made.stit_role, made.stit_version, made.stit_source = role, version, strip.stit_uuid
    _copy_placement(strip, made)
    return made


def _free_channel(siblings: Any, lowest: int, start: int, end: int) -> int:
    taken = {s.channel for s in siblings if compat.handles(s)[0] < end and compat.handles(s)[1] > start}
    return next(channel for channel in range(lowest, lowest + len(taken) + 1) if channel not in taken)


def _copy_placement(strip: Any, made: Any) -> None:
    """The result lies exactly on its plate, wherever that was put in the picture."""
    for group, names in (
        ("transform", ("offset_x", "offset_y", "scale_x", "scale_y", "rotation", "origin", "filter")),
        ("crop", ("min_x", "max_x", "min_y", "max_y")),
    ):
        for name in names:
            if hasattr(getattr(strip, group, None), name):
                setattr(getattr(made, group), name, getattr(getattr(strip, group), name))
    made.use_flip_x, made.use_flip_y = strip.use_flip_x, strip.use_flip_y
