"""The add-on's preferences: where the engine is, what it runs on, and whether it answers."""
# mypy: disable-error-code="valid-type"

import types
from typing import Any

import bpy
from bpy.props import EnumProperty, StringProperty

from . import words

# What the last "Test Engine" said; not worth keeping in a file.
test_report: dict = {"lines": [], "ok": None}


class STITVFX_Preferences(bpy.types.AddonPreferences):
    """Shown under Edit > Preferences > Add-ons."""

    bl_idname = __package__

    engine: StringProperty(
        name="Engine",
        description="The stit program, a Python that has stit_vfx, its folder, or a command line. "
        "Empty: $STIT_VFX_ENGINE, beside the add-on, or on PATH",
        subtype="FILE_PATH",
    )
    device: EnumProperty(
        name="Device",
        description="What the engine computes on",
        items=[
            ("auto", "Automatic", "A GPU if there is one"),
            ("cuda", "GPU", "CUDA"),
            ("cpu", "Processor", "Slow, but the same on every machine"),
        ],
        default="auto",
    )
    pack_path: StringProperty(
        name="Packs", description="A folder with model packs, searched first", subtype="DIR_PATH"
    )

    def draw(self, context: Any) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "engine")
        layout.prop(self, "device")
        layout.prop(self, "pack_path")
        layout.operator("stit_vfx.test_engine", icon="CHECKMARK")
        if test_report["lines"]:
            box = layout.box()
            box.alert = test_report["ok"] is False
            for line in test_report["lines"]:
                for piece in words.wrapped(line, context.region.width * 0.6):
                    box.label(text=piece)


def of(context: Any) -> Any:
    """The preferences; the defaults where the add-on was started without being enabled."""
    addon = context.preferences.addons.get(__package__)
    if addon is not None and addon.preferences is not None:
        return addon.preferences
    return types.SimpleNamespace(engine="", device="auto", pack_path="")
