"""Makes a folder that Nuke can load: this plug-in, the gizmos and the engine session.

python install.py [FOLDER]      default: ~/.nuke/stit_vfx, and a line in ~/.nuke/init.py that loads it
"""

from __future__ import annotations

import os
import shutil
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
PROJECT = os.path.dirname(os.path.dirname(HERE))
LINE = 'nuke.pluginAddPath("./stit_vfx")'
_UNWANTED = shutil.ignore_patterns("__pycache__", "*.pyc", "install.py", "vendor", "gizmos", ".mypy_cache")


def install(target: str) -> str:
    """Make or renew the folder; gives its path. An old one is replaced when the new one is whole."""
    target = os.path.abspath(os.path.expanduser(target))
    fresh = target + ".new"
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(HERE, fresh, ignore=_UNWANTED)
    session = os.path.join(PROJECT, "host_plugins", "common", "stit_session")
    shutil.copytree(session, os.path.join(fresh, "vendor", "stit_session"), ignore=_UNWANTED)
    os.makedirs(os.path.join(fresh, "gizmos"))
    for name in sorted(os.listdir(os.path.join(PROJECT, "gizmos"))):
        if name.endswith(".gizmo"):
            shutil.copy(os.path.join(PROJECT, "gizmos", name), os.path.join(fresh, "gizmos", name))
    if os.path.isdir(target):
        if not os.path.isfile(os.path.join(target, "stit_vfx_nuke", "adapter.py")):
            shutil.rmtree(fresh)
            raise OSError("{}: is there already, and is not this plug-in".format(target))
        shutil.rmtree(target)
    os.replace(fresh, target)
    return target


def load_from(home: str) -> None:
    """Have Nuke's own init.py load `stit_vfx` beside it. Nothing else in it is touched."""
    path = os.path.join(home, "init.py")
    text = ""
    if os.path.isfile(path):
        with open(path, encoding="utf-8") as file:
            text = file.read()
    if LINE not in text:
        start = "" if not text or text.endswith("\n") else "\n"
        with open(path, "a", encoding="utf-8") as file:
            file.write("{}import nuke\n\n{}\n".format(start, LINE))


def main(argv: list[str]) -> None:
    """Install, and say what to do next."""
    home = os.path.join(os.path.expanduser("~"), ".nuke")
    if argv:
        print("Installed in {}. Add this folder to NUKE_PATH.".format(install(argv[0])))
        return
    os.makedirs(home, exist_ok=True)
    print("Installed in {}. Restart Nuke.".format(install(os.path.join(home, "stit_vfx"))))
    load_from(home)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except OSError as problem:
        sys.exit(str(problem))
