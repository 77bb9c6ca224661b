"""`blender -b file.blend --python farm.py -- [options]`: the farm's door for every Blender from 3.4 on.

Finds the add-on if it is installed, else takes the one that this file lies in. Options: `batch.py`.
"""

import os
import sys
from typing import Any

import addon_utils
import bpy

HERE = os.path.dirname(os.path.abspath(__file__))


def _addon() -> Any:
    """The add-on's module, enabled."""
    enabled = [addon.module for addon in bpy.context.preferences.addons]
    names = [name for name in enabled if name.split(".")[-1].startswith("stit_vfx")]
    if not names:
        sys.path.append(os.path.dirname(HERE))
        names = [os.path.basename(HERE)]
        addon_utils.enable(names[0], default_set=True, persistent=True)
    return sys.modules[names[0]]


def main() -> None:
    """Run the add-on's batch door with the words after `--`."""
    words = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []
    status = _addon().batch.main(words)
    sys.stdout.flush()
    # Blender turns SystemExit into its own exit status.
    sys.exit(status)


main()
