"""STIT VFX for ComfyUI: face edits of whole shots, on files. docs/hosts/comfyui.md.

`python install.py COMFYUI_FOLDER` puts this folder into `custom_nodes`. Nothing is installed into ComfyUI's
Python: the engine is a program of its own, found by STIT_VFX_ENGINE or on PATH.
"""

from .stit_nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
