"""The engine's environment: the host's own Python, Qt and libraries stay out, its OCIO config goes in."""

from __future__ import annotations

import os
from typing import Dict, Mapping, Sequence

# One of these in the child, and it loads the host's libraries in place of its own: the classic crash.
_DROPPED = frozenset(
    (
        *("LD_LIBRARY_PATH", "LD_PRELOAD", "LD_AUDIT", "LIBPATH", "SHLIB_PATH"),
        *("__PYVENV_LAUNCHER__", "VIRTUAL_ENV", "TCL_LIBRARY", "TK_LIBRARY", "OIIO_LIBRARY_PATH"),
        *("OFX_PLUGIN_PATH", "GTK_PATH", "GIO_MODULE_DIR"),
    )
)
_DROPPED_STARTS = ("PYTHON", "QT_", "QML", "DYLD_", "KMP_")
_OF_HOST: Mapping[str, Sequence[str]] = {
    "nuke": ("NUKE_", "FN_", "FNFLEXLM", "FOUNDRY_", "HIERO_"),
    "blender": ("BLENDER_", "CYCLES_"),
    "comfyui": ("COMFYUI_", "PYTORCH_"),
}


def clean_environment(
    host: str = "",
    *,
    environment: Mapping[str, str] | None = None,
    host_folder: str | None = None,
    more: Mapping[str, str] | None = None,
) -> Dict[str, str]:
    """This process's environment (or `environment`) without what belongs to the host.

    Dropped: PYTHON*, QT_*, QML*, LD_LIBRARY_PATH and its kin on macOS, the host's own prefixes, and entries
    of PATH inside `host_folder` (Windows finds libraries there). Kept: OCIO and OCIO_*, CUDA_VISIBLE_DEVICES,
    STIT_*, proxies, locale and all the rest. A studio whose engine needs one of the dropped variables points
    STIT_VFX_ENGINE at a small script that sets it. `more` is laid over the result.
    """
    starts = (*_DROPPED_STARTS, *_OF_HOST.get(host.lower(), ()))
    result = {}
    for name, value in (os.environ if environment is None else environment).items():
        # Windows does not tell QT_X from Qt_X.
        upper = name.upper()
        if upper not in _DROPPED and not upper.startswith(starts):
            result[name] = _without(value, host_folder) if upper == "PATH" and host_folder else value
    # Lines must come when they are said, and in one encoding on every system.
    result.update({"PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"})
    result.update(more or {})
    return result


def _without(path: str, folder: str) -> str:
    inside = os.path.normcase(os.path.abspath(folder))
    kept = []
    for entry in path.split(os.pathsep):
        place = os.path.normcase(os.path.abspath(entry)) if entry else ""
        if place != inside and not place.startswith(inside.rstrip(os.sep) + os.sep):
            kept.append(entry)
    return os.pathsep.join(kept)
