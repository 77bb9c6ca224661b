"""The strip's settings as Blender's properties, a function for each part of the panel."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Tuple

from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

PIXELS = {"subtype": "PIXEL", "precision": 1}
# What a strip remembers: its own number, its analysis, its last job and cook; of a result, its plate.
REMEMBERED = (
    "stit_uuid",
    "stit_faces",
    "stit_job",
    "stit_cooked",
    "stit_version",
    "stit_source",
    "stit_role",
)


def edits(pack_names: Callable[..., List[str]]) -> Dict[str, Any]:
    """Which pack, and all its sliders together. `pack_names`: completes what is typed."""
    return {
        "stit_strength": FloatProperty(
            name="Strength",
            description="All edits together; 0 is the plate. Can be keyed",
            default=1.0,
            min=0.0,
            max=1.0,
            subtype="FACTOR",
        ),
        "stit_pack": StringProperty(
            name="Pack",
            description="Model pack: a name, or a folder. It decides which edits there are",
            default="builtin",
            search=pack_names,
            search_options={"SUGGESTION"},
        ),
    }


def face(items: Callable[..., List[Tuple[str, str, str, int]]]) -> Dict[str, Any]:
    """Whose face. `items`: the menu, which grows with an analysis."""
    return {
        "stit_face": EnumProperty(name="Face", description="Whose face is edited", items=items),
        "stit_face_x": FloatProperty(name="X", description="Plate pixels from the left", min=0, **PIXELS),
        "stit_face_y": FloatProperty(name="Y", description="Plate pixels from the top", min=0, **PIXELS),
        "stit_face_frame": IntProperty(name="At Frame", description="Timeline frame of the point"),
    }


def matte() -> Dict[str, Any]:
    """The edited area, in plate pixels."""
    return {
        "stit_matte_grow": FloatProperty(
            name="Grow",
            description="Make the edited area larger; negative: smaller. In plate pixels",
            default=0.0,
            min=-512,
            max=512,
            soft_min=-50,
            soft_max=50,
            **PIXELS,
        ),
        "stit_matte_soften": FloatProperty(
            name="Soften",
            description="Blur the edge of the edited area. In plate pixels",
            default=6.0,
            min=0,
            max=512,
            soft_max=100,
            **PIXELS,
        ),
        "stit_holdout": StringProperty(
            name="Hold-Out",
            description="A matte sequence whose white keeps the plate, "
            "such as a hand before the face: holdout.####.exr",
            subtype="FILE_PATH",
        ),
    }


def output() -> Dict[str, Any]:
    """How well, where to, and with whose consent."""
    return {
        "stit_quality": EnumProperty(
            name="Quality",
            description="How much work goes into it",
            items=[("draft", "Draft", "Quick: fewer tuning steps"), ("final", "Final", "As delivered")],
            default="final",
        ),
        "stit_output": StringProperty(
            name="Output",
            description="Folder for shots; each cook of other settings is a new version in it",
            default="//renders",
            subtype="DIR_PATH",
        ),
        "stit_shot": StringProperty(name="Shot", description="Name of the shot; empty: from the plate"),
        "stit_consent": StringProperty(
            name="Consent",
            description="The production's own reference to the performer's consent",
        ),
    }


def advanced() -> Dict[str, Any]:
    """What is right as it is, nearly always."""
    return {
        "stit_putback": EnumProperty(
            name="Put Back",
            description="How the edit gets into the plate",
            items=[
                ("detail", "Detail", "The plate's own grain and detail are carried along"),
                ("delta", "Difference", "The plate plus what the edit changed"),
                ("replace", "Replace", "The generator's own pixels, as published"),
            ],
            default="detail",
        ),
        "stit_colourspace": StringProperty(
            name="Colour Space",
            description="The plate's colour space, if its header and strip are wrong. Empty: what they say",
        ),
        "stit_seed": IntProperty(name="Seed", description="Another seed is another attempt", min=0),
        "stit_tune_steps": IntProperty(
            name="Tuning Steps",
            description="Updates of the generator's tuning; 0: as the quality says",
            min=0,
            max=100_000,
        ),
        "stit_stitch_steps": IntProperty(
            name="Stitching Steps",
            description="Most updates per frame; 0: as the quality says",
            min=0,
            max=10_000,
        ),
        "stit_layers": BoolProperty(
            name="Extra Layers",
            description="Matte and edit as layers of the result. "
            "Blender 4.3 and older shows such files black",
        ),
    }


def remembered() -> Dict[str, Any]:
    """Kept in the .blend, and shown nowhere."""
    return {name: StringProperty(options={"HIDDEN"}) for name in REMEMBERED}
