# SPDX-License-Identifier: GPL-3.0-or-later
"""STIT VFX in Blender's sequencer: face edits of plates, cooked by the engine in a process of its own."""

bl_info = {
    "name": "STIT VFX",
    "author": "The STIT VFX authors",
    "version": (0, 1, 0),
    "blender": (3, 4, 0),
    "location": "Video Sequencer > Sidebar > STIT",
    "description": "Face edits for plates in the sequencer",
    "category": "Sequencer",
}

import bpy  # noqa: E402  Blender reads bl_info without running the file, and wants it on top

from . import batch, operators, panel, prefs, props, tasks  # noqa: E402

CLASSES = (prefs.STITVFX_Preferences, *operators.CLASSES, *panel.CLASSES)
_commands: list = []


def register() -> None:
    """Called by Blender when the add-on is enabled."""
    for each in CLASSES:
        bpy.utils.register_class(each)
    props.register()
    panel.register()
    bpy.app.handlers.load_pre.append(tasks.stop_all)
    if hasattr(bpy.utils, "register_cli_command"):
        _commands.append(bpy.utils.register_cli_command("stit_vfx", batch.main))


def unregister() -> None:
    """Called by Blender when it is disabled; ends what runs."""
    tasks.stop_all()
    for command in _commands:
        bpy.utils.unregister_cli_command(command)
    _commands.clear()
    if tasks.stop_all in bpy.app.handlers.load_pre:
        bpy.app.handlers.load_pre.remove(tasks.stop_all)
    panel.unregister()
    props.unregister()
    for each in reversed(CLASSES):
        bpy.utils.unregister_class(each)
