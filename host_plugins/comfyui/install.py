"""Copies these nodes, with the engine session that they need, into a ComfyUI.

python install.py PATH/TO/ComfyUI
"""

from __future__ import annotations

import os
import shutil
import sys

NAME = "stit_vfx"


def install(comfyui: str) -> str:
    """Make or renew `custom_nodes/stit_vfx`; gives its path. FileNotFoundError: there is no ComfyUI."""
    here = os.path.dirname(os.path.realpath(__file__))
    parent = os.path.join(comfyui, "custom_nodes")
    if not os.path.isdir(parent):
        raise FileNotFoundError("{}: there is no custom_nodes folder in it".format(comfyui))
    target, fresh = os.path.join(parent, NAME), os.path.join(parent, "." + NAME + ".new")
    session = os.path.join(os.path.dirname(here), "common", "stit_session")
    shutil.rmtree(fresh, ignore_errors=True)
    unwanted = shutil.ignore_patterns("__pycache__", "*.pyc", "install.py", "vendor")
    shutil.copytree(here, fresh, ignore=unwanted)
    shutil.copytree(session, os.path.join(fresh, "vendor", "stit_session"), ignore=unwanted)
    if os.path.islink(target):
        os.unlink(target)
    shutil.rmtree(target, ignore_errors=True)
    os.replace(fresh, target)
    return target


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Usage: python install.py PATH/TO/ComfyUI")
    try:
        print("Installed in {}. Restart ComfyUI.".format(install(sys.argv[1])))
    except OSError as problem:
        sys.exit(str(problem))
