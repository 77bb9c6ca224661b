"""Nuke runs this at each start, on render nodes too: where our gizmos and icons are."""

from __future__ import annotations

import os

from stit_vfx_nuke import shared

import nuke

nuke.pluginAddPath(shared.gizmo_folder())
nuke.pluginAddPath(os.path.join(shared.FOLDER, "icons"))
