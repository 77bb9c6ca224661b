"""ComfyUI as far as these nodes need it. No other file knows its modules; outside of it none is there."""

from __future__ import annotations

import importlib
import os
import shutil
import tempfile
from typing import Any, Dict

STEPS = 1000


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


class Bar:
    """The green bar on the node that runs."""

    def __init__(self) -> None:
        utils = _module("comfy.utils")
        self._bar = utils.ProgressBar(STEPS) if utils is not None else None
        self._shown = -1

    def show(self, fraction: float) -> None:
        """Move the bar, if it is a step further: each move is a message to every browser."""
        step = int(fraction * STEPS)
        if self._bar is not None and step > self._shown:
            self._shown = step
            self._bar.update_absolute(step, STEPS)


def interrupted() -> bool:
    """Has the user pressed Cancel?"""
    management = _module("comfy.model_management")
    return management is not None and bool(management.processing_interrupted())


def raise_interrupted() -> None:
    """End the workflow as ComfyUI does it on Cancel; it shows no error then."""
    management = _module("comfy.model_management")
    if management is not None:
        management.throw_exception_if_processing_interrupted()


def free_memory() -> None:
    """Give the device's memory back: the engine is another process and wants it."""
    management = _module("comfy.model_management")
    if management is not None:
        management.unload_all_models()
        management.soft_empty_cache()


def output_folder() -> str:
    """ComfyUI's output folder."""
    paths = _module("folder_paths")
    return os.path.abspath(paths.get_output_directory() if paths is not None else "output")


def picture(path: str) -> Dict[str, str]:
    """A picture so that the browser can show it: inside the output folder, or a copy in the temporary one."""
    inside = os.path.relpath(os.path.realpath(path), os.path.realpath(output_folder()))
    if not inside.startswith(os.pardir) and not os.path.isabs(inside):
        subfolder, name = os.path.split(inside)
        return {"filename": name, "subfolder": subfolder.replace(os.sep, "/"), "type": "output"}
    paths = _module("folder_paths")
    temporary = paths.get_temp_directory() if paths is not None else tempfile.gettempdir()
    os.makedirs(temporary, exist_ok=True)
    handle, copy = tempfile.mkstemp(prefix="stit_", suffix=os.path.splitext(path)[1], dir=temporary)
    os.close(handle)
    shutil.copyfile(path, copy)
    return {"filename": os.path.basename(copy), "subfolder": "", "type": "temp"}
