"""Pack the add-on with the engine session it needs.

    python host_plugins/blender/build.py OUT_FOLDER

Writes `stit_vfx-VERSION.zip` (an extension, Blender 4.2 and later: Install from Disk) and
`stit_vfx-VERSION-legacy.zip` (Blender 3.4 to 4.1: Preferences > Add-ons > Install). Needs no
Blender. The same sources make the same bytes.
"""

from __future__ import annotations

import os
import re
import sys
import zipfile
from typing import Dict, List

HERE = os.path.dirname(os.path.abspath(__file__))
ADDON = os.path.join(HERE, "stit_vfx_blender")
SESSION = os.path.join(HERE, os.pardir, "common", "stit_session")
LEGACY_FOLDER = "stit_vfx_blender"
KEPT = (".py", ".toml", ".json")
EPOCH = (1980, 1, 1, 0, 0, 0)


def files() -> Dict[str, bytes]:
    """Everything that is packed: name in the package, content."""
    found = {}
    for folder, prefix in ((ADDON, ""), (SESSION, "stit_session/")):
        for name in sorted(os.listdir(folder)):
            if name.endswith(KEPT):
                with open(os.path.join(folder, name), "rb") as file:
                    found[prefix + name] = file.read()
    return found


def version(packed: Dict[str, bytes]) -> str:
    """The version of the manifest. Raises ValueError if the legacy header says another."""
    manifest = packed["blender_manifest.toml"].decode()
    told = re.search(r'^version = "([0-9.]+)"$', manifest, re.M)
    legacy = re.search(r'"version": \(([0-9, ]+)\)', packed["__init__.py"].decode())
    if told is None or legacy is None or told.group(1) != legacy.group(1).replace(", ", "."):
        raise ValueError("blender_manifest.toml and bl_info have different versions")
    return told.group(1)


def build(out: str) -> List[str]:
    """Write both packages; gives their paths."""
    packed = files()
    os.makedirs(out, exist_ok=True)
    written = []
    for suffix, prefix in (("", ""), ("-legacy", LEGACY_FOLDER + "/")):
        path = os.path.join(out, "stit_vfx-{}{}.zip".format(version(packed), suffix))
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
            for name, content in packed.items():
                if not (suffix and name.endswith(".toml")):
                    package.writestr(zipfile.ZipInfo(prefix + name, EPOCH), content, zipfile.ZIP_DEFLATED)
        written.append(path)
    return written


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print("\n".join(build(sys.argv[1])))
