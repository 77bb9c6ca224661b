"""What differs between Blender 3.4 and 5.2, in one place."""

from __future__ import annotations

from typing import Any, Iterable, List, Tuple

import bpy

LINEAR_NAMES = ("Linear Rec.709", "Linear")


def strip_type() -> Any:
    """`Sequence` was renamed to `Strip` in 4.4."""
    return getattr(bpy.types, "Strip", None) or bpy.types.Sequence


def strips_of(editor: Any) -> Any:
    """The strips of a sequence editor or meta strip; `sequences` before 4.4, gone in 5.0."""
    return editor.strips if hasattr(editor, "strips") else editor.sequences


def all_strips(editor: Any) -> Iterable[Any]:
    """All strips, those in meta strips too."""
    return editor.strips_all if hasattr(editor, "strips_all") else editor.sequences_all


def edit_scene(context: Any) -> Any:
    """The scene whose strips are edited. From 5.0 on the workspace has its own."""
    workspace = getattr(context, "workspace", None)
    scene = getattr(context, "sequencer_scene", None) or getattr(workspace, "sequencer_scene", None)
    return scene or context.scene


def handles(strip: Any) -> Tuple[int, int]:
    """First timeline frame, and the one after the last. The old names go in 6.0."""
    if hasattr(strip, "left_handle"):
        return int(strip.left_handle), int(strip.right_handle)
    return int(strip.frame_final_start), int(strip.frame_final_end)


def content_of(strip: Any) -> Tuple[int, int]:
    """Timeline frame of a movie's first frame that was not cut off, and how many were cut off before it."""
    if hasattr(strip, "content_start") and hasattr(strip, "content_trim_start"):
        return round(strip.content_start), int(strip.content_trim_start)
    return round(strip.frame_start), int(strip.animation_offset_start)


def set_length(strip: Any, end: int) -> None:
    """Move the right handle."""
    if hasattr(strip, "right_handle"):
        strip.right_handle = end
    else:
        strip.frame_final_end = end


def fcurves_of(scene: Any) -> List[Any]:
    """A scene's curves; actions have slots from 4.4 on, and nothing else from 5.0 on."""
    animation = scene.animation_data
    if not animation or not animation.action:
        return []
    action = animation.action
    if hasattr(action, "fcurves"):
        return list(action.fcurves)
    from bpy_extras import anim_utils

    bag = anim_utils.action_get_channelbag_for_slot(action, animation.action_slot)
    return list(bag.fcurves) if bag else []


def sequencer_space_names() -> List[str]:
    """The colour spaces that the sequencer can work in, by the config in use."""
    prop = bpy.types.ColorManagedSequencerColorspaceSettings.bl_rna.properties["name"]
    return [item.identifier for item in prop.enum_items]


def scene_linear_name() -> str:
    """The config's scene-linear space as strips call it; empty where Blender does not tell."""
    space = getattr(bpy.data, "colorspace", None)
    working = getattr(space, "working_space", None)
    if working:
        return str(working)
    names = sequencer_space_names()
    return next((name for name in LINEAR_NAMES if name in names), "")


def use_data_space(strip: Any) -> None:
    """Read a strip's numbers as they are. Configs name that space as they like; assigning another raises."""
    settings = strip.colorspace_settings
    for name in ("Non-Color", "Raw", "raw", "Utility - Raw", "data", "Data"):
        try:
            settings.name = name
            return
        except TypeError:
            continue


def use_space(strip: Any, name: str) -> bool:
    """Set a strip's colour space; False where the config does not have it."""
    try:
        strip.colorspace_settings.name = name
    except TypeError:
        return False
    return True


def refresh(scene: Any, strip: Any) -> None:
    """Drop what Blender keeps of a strip's pictures: 5.0 shows an overwritten file as it was."""
    if hasattr(strip, "invalidate_cache"):
        for kind in ("RAW", "COMPOSITE"):
            strip.invalidate_cache(kind)


def is_driven(scene: Any, path: str) -> bool:
    animation = scene.animation_data
    return bool(animation) and any(driver.data_path == path for driver in animation.drivers)
