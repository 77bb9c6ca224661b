"""STIT VFX: edit a face for a whole shot, and leave the rest of the plate as it is, bit for bit.

    import stit_vfx

    job = stit_vfx.Job.load("sh010.job.json")
    result = stit_vfx.edit_shot(job, out="renders")
    pack = stit_vfx.load_pack("builtin")

Importing this package loads nothing heavy; torch, OpenCV and OpenEXR come in when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stit_vfx._version import __version__
from stit_vfx.errors import StitError

if TYPE_CHECKING:
    from stit_vfx.job import Job
    from stit_vfx.packs.load import load_pack
    from stit_vfx.pipeline import edit_shot

__all__ = ["Job", "StitError", "__version__", "edit_shot", "load_pack"]

_LAZY = {
    "Job": ("stit_vfx.job", "Job"),
    "edit_shot": ("stit_vfx.pipeline", "edit_shot"),
    "load_pack": ("stit_vfx.packs.load", "load_pack"),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'stit_vfx' has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _LAZY[name]
    return getattr(import_module(module), attribute)
