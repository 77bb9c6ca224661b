"""The strip's settings.

Flat properties on the strip's type, not a group: only those can be keyed from a panel (every version from 3.4
to 5.2). One slider per edit of every pack that this machine knows.
"""

from __future__ import annotations

import json
import os
import uuid
from typing import Any, Dict, List, Tuple

import bpy
from bpy.props import FloatProperty

from . import compat, fields, jobs, sliders

_registered: List[str] = []
_face_items: Dict[str, List[Tuple[str, str, str, int]]] = {}
_packs: Dict[str, sliders.Pack] = {}
LARGEST = ("0", "Largest Face", "The largest face of the shot, followed through it", 0)
POINT = ("POINT", "At a Point", "The face at a point of the plate", 1_000_000)


def packs_path() -> str:
    """Where the packs that were learnt from the engine are kept."""
    package = __package__ or ""
    if package.startswith("bl_ext."):
        folder = bpy.utils.extension_path_user(package, create=True)
    else:
        folder = bpy.utils.user_resource("CONFIG", path="stit_vfx")
    return os.path.join(folder, "packs.json")


def packs() -> Dict[str, sliders.Pack]:
    """The packs that are known here, by name."""
    return _packs


def pack_of(strip: Any) -> sliders.Pack | None:
    """The strip's pack; None if it is not known here (a folder, or another machine's)."""
    return _packs.get(strip.stit_pack or "builtin")


def faces_of(strip: Any) -> List[Dict[str, Any]]:
    """The faces of the last analysis."""
    try:
        return list(json.loads(strip.stit_faces or "[]"))
    except ValueError:
        return []


def identify(scene: Any, strip: Any) -> str:
    """The strip's own number. Blender has none, names change, and a copied strip brings its model's along."""
    others = {other.stit_uuid for other in compat.all_strips(scene.sequence_editor) if other != strip}
    if not strip.stit_uuid or strip.stit_uuid in others:
        strip.stit_uuid = uuid.uuid4().hex
    return str(strip.stit_uuid)


def by_uuid(scene_name: str, number: str) -> Tuple[Any, Any] | None:
    """Scene and strip, looked up anew: an undo makes every pointer that was kept a dangling one."""
    scene = bpy.data.scenes.get(scene_name)
    if scene is None or scene.sequence_editor is None:
        return None
    found = next((s for s in compat.all_strips(scene.sequence_editor) if s.stit_uuid == number), None)
    return None if found is None else (scene, found)


def _faces(strip: Any, _context: Any) -> List[Tuple[str, str, str, int]]:
    told = strip.stit_faces if strip is not None else ""
    if told not in _face_items:
        found = [
            (str(face["id"]), jobs.face_label(face), "Found in the analysis", int(face["id"]))
            for face in (faces_of(strip) if told else [])
        ]
        # Blender keeps no reference to these texts: they must live as long as the menu.
        _face_items[told] = [LARGEST, *found, POINT]
    return _face_items[told]


def _pack_names(_strip: Any, _context: Any, text: str) -> List[str]:
    return [name for name in sorted(_packs) if text.lower() in name.lower()]


def _settings() -> Dict[str, Any]:
    return {
        **fields.edits(_pack_names),
        **fields.face(_faces),
        **fields.matte(),
        **fields.output(),
        **fields.advanced(),
        **fields.remembered(),
    }


def _slider(slider: sliders.Slider) -> Any:
    return FloatProperty(
        name=slider.label,
        description="{}: 0 is the plate, {:g} and {:g} are clear, natural edits. Can be keyed".format(
            slider.title, slider.low, slider.high
        ),
        default=0.0,
        min=slider.low,
        max=slider.high,
        precision=2,
        step=1,
    )


def register() -> None:
    """Add the properties; again after the packs have changed."""
    unregister()
    _packs.update(sliders.recall(packs_path()))
    wanted = _settings()
    wanted.update({slider.prop: _slider(slider) for slider in sliders.all_sliders(_packs)})
    strip = compat.strip_type()
    for name, prop in wanted.items():
        setattr(strip, name, prop)
        _registered.append(name)


def unregister() -> None:
    """Take them away; what .blend files hold in them stays in the files."""
    strip = compat.strip_type()
    for name in _registered:
        delattr(strip, name)
    _registered.clear()
    _packs.clear()
    _face_items.clear()
