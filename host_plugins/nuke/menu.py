"""Nuke runs this when it has a window: our menu in the toolbar, and the engine's place."""

from __future__ import annotations

import atexit

from stit_vfx_nuke import shared, work

import nuke

NODES = (
    ("StitFaceEdit", "Edit a face for a whole shot"),
    ("StitMatte", "Shape the matte of a cook, live"),
    ("StitApply", "Mix cooked edits anew, without cooking"),
)


def choose_engine() -> None:
    """Ask for the engine's place, and keep it for this user."""
    place = nuke.getInput("The STIT engine: its folder, its program, or a command", shared.preference())
    if place is not None:
        shared.remember(place)


def build() -> None:
    """The menu STIT in the nodes' toolbar."""
    menu = nuke.menu("Nodes").addMenu("STIT", icon="StitFaceEdit.png")
    for name, tip in NODES:
        menu.addCommand(name, "nuke.createNode('{}')".format(name), icon=name + ".png", tooltip=tip)
    menu.addSeparator()
    menu.addCommand("Engine...", choose_engine, tooltip="Where the STIT engine is on this machine")


build()
atexit.register(work.stop_all)
