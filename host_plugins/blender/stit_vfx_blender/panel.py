"""The panel: in the sequencer's sidebar (tab STIT), and from 5.0 on under Properties > Strip as well."""
# mypy: disable-error-code="attr-defined"

from __future__ import annotations

from typing import Any, List

import bpy
import bpy.utils.previews

from . import compat, props, strips, tasks, words

PICTURE_SCALE = 9.0
_icons: Any = None


def _strip(context: Any) -> Any:
    scene = compat.edit_scene(context)
    editor = scene.sequence_editor if scene else None
    return editor.active_strip if editor else None


def _lines(layout: Any, context: Any, text: str, *, icon: str = "NONE") -> None:
    column = layout.column(align=True)
    width = context.region.width / context.preferences.system.ui_scale - 60
    for number, line in enumerate(words.wrapped(text, width)):
        column.label(text=line, icon=icon if number == 0 else "BLANK1" if icon != "NONE" else "NONE")


def _bar(layout: Any, run: Any) -> None:
    if hasattr(layout, "progress"):
        layout.progress(factor=run.fraction, text=run.line)
    else:
        layout.label(text="{:3.0f} %  {}".format(100 * run.fraction, run.line), icon="TIME")


class _Panel:
    bl_options: Any = set()  # noqa: RUF012

    @classmethod
    def poll(cls, context: Any) -> bool:
        return strips.is_plate(_strip(context))


class _Main(_Panel):
    bl_label = "Face Edit"
    bl_order = 0

    @classmethod
    def poll(cls, context: Any) -> bool:
        return _strip(context) is not None

    def draw(self, context: Any) -> None:
        layout, scene, strip = self.layout, compat.edit_scene(context), _strip(context)
        if not strips.is_plate(strip):
            result = "This is a result. Select its plate." if strip.stit_role else ""
            _lines(layout, context, result or "Select an image sequence or a movie strip.", icon="INFO")
            return
        self._colour(layout, context, scene, strip)
        state, told = tasks.freshness(scene, strip)
        icons = {"fresh": "CHECKMARK", "stale": "FILE_REFRESH", "not yet": "INFO", "new": "RADIOBUT_OFF"}
        box = layout.column()
        box.alert = state == "stale"
        _lines(box, context, told, icon=icons[state])
        run = tasks.running(strip)
        if run is not None:
            _bar(layout, run)
            layout.operator("stit_vfx.cancel", icon="X")
        else:
            row = layout.row(align=True)
            row.operator("stit_vfx.preview", icon="IMAGE_DATA")
            row.operator("stit_vfx.cook", icon="RENDER_ANIMATION")
            layout.operator("stit_vfx.resume", icon="PLAY")
        last = tasks.runs.get(strip.stit_uuid)
        if last is not None and last.over:
            box = layout.box()
            box.alert = not last.ok and last.exit_status != 130
            _lines(box, context, last.message, icon="INFO" if last.ok else "ERROR")
            if last.ok and last.details:
                _lines(box, context, last.details)
        self._picture(layout, strip)

    def _colour(self, layout: Any, context: Any, scene: Any, strip: Any) -> None:
        told = strips.colour_warning(scene)
        if told:
            box = layout.box()
            box.alert = True
            _lines(box, context, told, icon="ERROR")
            box.prop(scene.sequencer_colorspace_settings, "name", text="Sequencer")
        told = strips.picture_warning(strip)
        if told:
            _lines(layout, context, told, icon="ERROR")

    def _picture(self, layout: Any, strip: Any) -> None:
        path = tasks.pictures.get(strip.stit_uuid)
        if path and _icons is not None:
            if path not in _icons:
                _icons.load(path, path, "IMAGE")
            layout.template_icon(icon_value=_icons[path].icon_id, scale=PICTURE_SCALE)
            layout.operator("stit_vfx.show_picture", icon="WINDOW")


class _Face(_Panel):
    bl_label = "Face"

    def draw(self, context: Any) -> None:
        layout, strip = _fields(self.layout), _strip(context)
        layout.operator("stit_vfx.analyse", icon="VIEWZOOM")
        layout.prop(strip, "stit_face")
        if strip.stit_face == "POINT":
            column = layout.column(align=True)
            column.prop(strip, "stit_face_x")
            column.prop(strip, "stit_face_y")
            layout.prop(strip, "stit_face_frame")


class _Edits(_Panel):
    bl_label = "Edits"

    def draw(self, context: Any) -> None:
        layout, strip = _fields(self.layout), _strip(context)
        layout.prop(strip, "stit_pack")
        pack = props.pack_of(strip)
        if pack is None:
            _lines(
                layout,
                context,
                "This pack's edits are not known here. Test the engine in the add-on's preferences.",
                icon="ERROR",
            )
            return
        if pack.commercial_use != "yes":
            _lines(
                layout,
                context,
                "{}: commercial use {}.".format(pack.licence, pack.commercial_use),
                icon="ERROR",
            )
        column = layout.column(align=True)
        for slider in pack.sliders:
            column.prop(strip, slider.prop, text=slider.label, slider=True)
        layout.prop(strip, "stit_strength", slider=True)


class _Matte(_Panel):
    bl_label = "Matte"

    def draw(self, context: Any) -> None:
        layout, strip = _fields(self.layout), _strip(context)
        column = layout.column(align=True)
        column.prop(strip, "stit_matte_grow")
        column.prop(strip, "stit_matte_soften")
        layout.prop(strip, "stit_holdout")


class _Output(_Panel):
    bl_label = "Quality and Output"

    def draw(self, context: Any) -> None:
        layout, strip = _fields(self.layout), _strip(context)
        layout.row().prop(strip, "stit_quality", expand=True)
        layout.prop(strip, "stit_output")
        layout.prop(strip, "stit_shot")
        layout.prop(strip, "stit_consent")
        row = layout.row(align=True)
        row.operator("stit_vfx.write_job", icon="FILE_TICK")
        row.operator("stit_vfx.clear_cache", icon="TRASH")


class _Advanced(_Panel):
    bl_label = "Advanced"
    bl_options: Any = {"DEFAULT_CLOSED"}  # noqa: RUF012

    def draw(self, context: Any) -> None:
        layout, strip = _fields(self.layout), _strip(context)
        for name in ("putback", "colourspace", "seed", "tune_steps", "stitch_steps", "layers"):
            layout.prop(strip, "stit_" + name)


def _fields(layout: Any) -> Any:
    layout.use_property_split = True
    layout.use_property_decorate = True
    return layout


def _classes() -> List[Any]:
    """Every panel for the sidebar, and from 5.0 on for the Properties editor."""
    places = [("SIDE", {"bl_space_type": "SEQUENCE_EDITOR", "bl_region_type": "UI", "bl_category": "STIT"})]
    if bpy.app.version >= (5, 0):
        strip = {"bl_space_type": "PROPERTIES", "bl_region_type": "WINDOW", "bl_context": "strip"}
        places.append(("STRIP", strip))
    made = []
    for place, where in places:
        main = "STITVFX_PT_{}_main".format(place)
        for base in (_Main, _Face, _Edits, _Matte, _Output, _Advanced):
            name = "STITVFX_PT_{}{}".format(place, base.__name__.lower())
            more = {} if base is _Main else {"bl_parent_id": main}
            made.append(type(name, (base, bpy.types.Panel), {**where, **more, "bl_idname": name}))
    return made


CLASSES = _classes()


def register() -> None:
    global _icons
    _icons = None if bpy.app.background else bpy.utils.previews.new()


def unregister() -> None:
    global _icons
    if _icons is not None:
        bpy.utils.previews.remove(_icons)
        _icons = None
