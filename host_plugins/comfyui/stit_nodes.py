"""The nodes: load plate, direction, face edit, matte, frame. They pass handles and paths, never pixels.

A tensor of ComfyUI is 8-bit light between 0 and 1 by habit; a plate is not. So plates stay files, and the
engine reads and writes them.
"""

from __future__ import annotations

import os
import re
from typing import Any, Dict, List, Tuple

from . import files, host
from .cooking import CookError, Shot, cook, engine, environment, shown
from .shared import EngineError, directions

CATEGORY = "STIT VFX"
PACK = "builtin"
# What the built-in pack has, for when the engine cannot be asked. The list in a node is help, not a limit.
KNOWN = (
    *("smile", "mouth_open", "eyes_closed", "brows_up", "anger", "surprise", "frown", "pucker", "age"),
    *(
        "masculine",
        "eye_size",
        "nose_width",
        "lip_fullness",
        "jaw_width",
        "face_width",
        "chin_length",
        "yaw",
        "pitch",
    ),
)

_asked: Dict[str, List[str]] = {}


def _directions() -> List[str]:
    """The built-in pack's directions. Asked once; without an engine the nodes still load."""
    if PACK not in _asked:
        try:
            _asked[PACK] = [direction.name for direction in directions(engine(), PACK, env=environment())]
        except EngineError:
            return list(KNOWN)
    return _asked[PACK] or list(KNOWN)


def _text(tooltip: str, default: str = "") -> Tuple[str, Dict[str, Any]]:
    return "STRING", {"default": default, "multiline": False, "tooltip": tooltip}


def _number(tooltip: str, default: float, low: float, high: float, step: float) -> Tuple[str, Dict[str, Any]]:
    limits = {"default": default, "min": low, "max": high, "step": step, "tooltip": tooltip}
    return ("INT" if isinstance(default, int) else "FLOAT"), limits


def _choice(tooltip: str, *names: str) -> Tuple[List[str], Dict[str, Any]]:
    return list(names), {"default": names[0], "tooltip": tooltip}


def _matte_inputs() -> Dict[str, Any]:
    return {
        "matte_grow": _number(
            "Grow the matte, in plate pixels; negative shrinks it.", 0.0, -512.0, 512.0, 0.5
        ),
        "matte_soften": _number("Soften the matte's edge, in plate pixels.", 6.0, 0.0, 512.0, 0.5),
        "holdout": _text("A matte sequence whose white keeps the plate: a hand, a microphone."),
    }


class StitLoadPlate:
    """A plate on disk, as a handle. Nothing is read but names."""

    CATEGORY = CATEGORY
    FUNCTION = "load"
    RETURN_TYPES = ("STIT_PLATE", "STRING", "INT", "INT")
    RETURN_NAMES = ("plate", "pattern", "first", "last")
    DESCRIPTION = "A plate: an EXR sequence, other stills, or a movie. Pixels stay in their files."

    @classmethod
    def INPUT_TYPES(cls) -> Dict[str, Any]:
        return {
            "required": {
                "plate": _text("plates/sh010.####.exr, one of its frames, a folder, or a movie."),
                "frames": _text("1001-1100, 1001-1100x2, lists. Empty: all frames there are."),
            },
            "optional": {
                "colourspace": _text(
                    "The plate's colour space, if its header does not say: acescg, srgb_tx."
                ),
            },
        }

    @classmethod
    def IS_CHANGED(cls, plate: Any = None, frames: Any = "", colourspace: Any = "") -> str:
        # An input that comes from another node is not known yet.
        return files.state_of(plate) if plate else ""

    def load(self, plate: str, frames: str = "", colourspace: str = "") -> Tuple[Any, ...]:
        try:
            found = files.find(plate)
        except FileNotFoundError as error:
            raise CookError(str(error)) from None
        pattern = os.path.abspath(os.path.expanduser(plate.strip()))
        handle = {"plate": pattern, "frames": frames.strip(), "colourspace": colourspace.strip()}
        return handle, pattern, found.first, found.last


class StitDirection:
    """One slider: a direction of the pack and how strongly. Chain several for several edits."""

    CATEGORY = CATEGORY
    FUNCTION = "add"
    RETURN_TYPES = ("STIT_EDITS",)
    RETURN_NAMES = ("edits",)
    DESCRIPTION = "One edit. 0 is the plate, 1 a clear and natural edit, negative the other way."

    @classmethod
    def INPUT_TYPES(cls) -> Dict[str, Any]:
        return {
            "required": {
                "direction": _choice(
                    "What changes. Other packs have others; type their names.", *_directions()
                ),
                "strength": _number("0 is the plate; 1 is a clear, natural edit.", 0.6, -1.0, 1.0, 0.01),
            },
            "optional": {
                "keys": _text("Strength over time in place of the slider: 0@1001, 0.6@1040."),
                "edits": ("STIT_EDITS", {"tooltip": "Edits that come with this one."}),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, direction: Any = None) -> Any:
        # Named here, so that ComfyUI does not refuse the directions of other packs.
        return True if direction is None or str(direction).strip() else "no direction"

    def add(self, direction: str, strength: float, keys: str = "", edits: Any = None) -> Tuple[Any, ...]:
        edit: Dict[str, Any] = {"direction": direction.strip()}
        edit.update({"keys": parse_keys(keys)} if keys.strip() else {"strength": float(strength)})
        return ([*(edits or []), edit],)


class StitFaceEdit:
    """Cooks the shot: the engine's six steps, resumed where they were."""

    CATEGORY = CATEGORY
    FUNCTION = "edit"
    OUTPUT_NODE = True
    RETURN_TYPES = ("STIT_SHOT", "STRING", "STRING", "STRING")
    RETURN_NAMES = ("shot", "comp", "matte", "version")
    DESCRIPTION = (
        "Edits a face for the whole shot. The result is EXR files; outside the matte the plate's own bits."
    )

    @classmethod
    def INPUT_TYPES(cls) -> Dict[str, Any]:
        return {
            "required": {
                "plate": ("STIT_PLATE", {"tooltip": "From Load Plate."}),
                "edits": ("STIT_EDITS", {"tooltip": "From one or more Directions."}),
                "folder": _text("Where the shot's folder is made; relative: in ComfyUI's output.", "stit"),
            },
            "optional": {
                "shot": _text("Name of the shot. Empty: from the plate's name."),
                "face": _text(
                    "Which face: x,y@frame, a box x0,y0,x1,y1@frame, or an id. Empty: the largest."
                ),
                "pack": _text("Model pack: a name or a folder.", PACK),
                "quality": _choice("Draft is quicker and rougher.", "final", "draft"),
                "putback": _choice(
                    "How the edit goes back: detail keeps pores and grain.", "detail", "delta", "replace"
                ),
                **_matte_inputs(),
                "layers": ("BOOLEAN", {"default": False, "tooltip": "Also write matte and edit as layers."}),
                "tune_steps": _number("Updates of the tuning; 0: the default.", 0, 0, 100000, 1),
                "seed": _number("Same seed, same bits.", 0, 0, 2**32 - 1, 1),
                "device": _text("auto, cpu, cuda or cuda:1.", "auto"),
                "free_memory": ("BOOLEAN", {"default": True, "tooltip": "Unload ComfyUI's models first."}),
                "consent": _text("Production's own reference to the performer's consent."),
            },
        }

    def edit(
        self,
        plate: Dict[str, str],
        edits: List[Dict[str, Any]],
        folder: str,
        shot: str = "",
        face: str = "",
        pack: str = PACK,
        quality: str = "final",
        putback: str = "detail",
        matte_grow: float = 0.0,
        matte_soften: float = 6.0,
        holdout: str = "",
        layers: bool = False,
        tune_steps: int = 0,
        seed: int = 0,
        device: str = "auto",
        free_memory: bool = True,
        consent: str = "",
    ) -> Dict[str, Any]:
        job: Dict[str, Any] = {
            "shot": shot.strip() or shot_name(plate["plate"]),
            "plate": plate["plate"],
            "edits": edits,
            "pack": pack.strip() or PACK,
            "quality": quality,
            "putback": putback,
            "matte": _matte(matte_grow, matte_soften, holdout),
            "output": {"layers": bool(layers)},
            "seed": int(seed),
            "consent": consent.strip(),
        }
        job.update({name: plate[name] for name in ("frames", "colourspace") if plate.get(name)})
        if face.strip():
            job["face"] = parse_face(face)
        if tune_steps:
            job["tune"] = {"steps": int(tune_steps)}
        return _cooked(job, folder, device.strip() or "auto", free_memory)


class StitMatte:
    """Another matte for a shot that is cooked: only the composite is done anew, as another version."""

    CATEGORY = CATEGORY
    FUNCTION = "matte"
    OUTPUT_NODE = True
    RETURN_TYPES = StitFaceEdit.RETURN_TYPES
    RETURN_NAMES = StitFaceEdit.RETURN_NAMES
    DESCRIPTION = (
        "Grow, soften or hold out the matte of a cooked shot. Quick: the face is not computed again."
    )

    @classmethod
    def INPUT_TYPES(cls) -> Dict[str, Any]:
        return {
            "required": {"shot": ("STIT_SHOT", {"tooltip": "From Face Edit."}), **_matte_inputs()},
        }

    def matte(self, shot: Shot, matte_grow: float, matte_soften: float, holdout: str = "") -> Dict[str, Any]:
        job = {**shot["job"], "matte": _matte(matte_grow, matte_soften, holdout)}
        return _cooked(job, shot["folder"], shot["device"], False)


class StitFrame:
    """The file of one frame, for nodes that load single pictures."""

    CATEGORY = CATEGORY
    FUNCTION = "frame"
    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("path",)
    DESCRIPTION = "The path of one frame of a comp, a matte or a plate, for any EXR loader."

    @classmethod
    def INPUT_TYPES(cls) -> Dict[str, Any]:
        return {
            "required": {
                "pattern": (
                    "STRING",
                    {"default": "", "forceInput": True, "tooltip": "comp, matte or plate."},
                ),
                "frame": _number("Which frame.", 1001, -999999, 9999999, 1),
            }
        }

    @classmethod
    def IS_CHANGED(cls, pattern: Any = None, frame: int = 0) -> str:
        return files.state_of(pattern) if pattern else ""

    def frame(self, pattern: str, frame: int) -> Tuple[str]:
        try:
            return (files.frame_path(pattern, int(frame)),)
        except FileNotFoundError as error:
            raise CookError(str(error)) from None


def _cooked(job: Dict[str, Any], folder: str, device: str, free_memory: bool) -> Dict[str, Any]:
    try:
        place = files.output_place(folder, host.output_folder())
    except PermissionError as error:
        raise CookError(str(error)) from None
    os.makedirs(place, exist_ok=True)
    if free_memory and device != "cpu":
        host.free_memory()
    try:
        made = cook(job, place, device=device)
    except EngineError as error:
        raise CookError(error.dialog()) from None
    return {"ui": shown(made), "result": (made, made["comp"], made["matte"], made["version"])}


def _matte(grow: float, soften: float, holdout: str) -> Dict[str, Any]:
    place = os.path.abspath(os.path.expanduser(holdout.strip())) if holdout.strip() else None
    return {"grow": float(grow), "soften": float(soften), "holdout": place}


def shot_name(plate: str) -> str:
    """`plates/sh010_bg.####.exr` is the shot `sh010_bg`, as the command line names it."""
    name = re.split(r"[/\\]", plate.rstrip("/\\"))[-1]
    stem = re.split(r"[._](?:#+|@+|%0?\d*d|\$F\d*|-?\d+)\.[A-Za-z0-9]+$|\.[A-Za-z0-9]+$", name)[0]
    return re.sub(r"[^A-Za-z0-9._-]+", "_", stem).strip("._-")[:64] or "shot"


def parse_keys(text: str) -> Dict[str, float]:
    """`0@1001, 0.6@1040` as the job's keys. Raises CookError."""
    keys = {}
    for word in text.split(","):
        match = re.fullmatch(r"\s*([-+.\deE]+)\s*@\s*(-?\d+)\s*", word)
        try:
            keys[str(int(match.group(2)))] = float(match.group(1))  # type: ignore[union-attr]
        except (AttributeError, ValueError):
            words = "keys: {!r} is not STRENGTH@FRAME. For example 0@1001, 0.6@1040"
            raise CookError(words.format(word.strip())) from None
    return keys


def parse_face(text: str) -> Dict[str, Any]:
    """`960,400@1001`, a box `x0,y0,x1,y1@1001`, or an id, as the job's face. Raises CookError."""
    place, at, frame = text.strip().partition("@")
    try:
        picked: Dict[str, Any] = {"frame": int(frame)} if at else {}
        numbers = [float(word) for word in place.split(",")]
        if len(numbers) == 1 and place.strip().isdigit():
            return {"id": int(place), **picked}
        if len(numbers) in (2, 4):
            return {("point" if len(numbers) == 2 else "box"): numbers, **picked}
    except ValueError:
        pass
    raise CookError("face: {!r} is neither an id, x,y@frame nor x0,y0,x1,y1@frame".format(text))


NODE_CLASS_MAPPINGS = {
    "StitLoadPlate": StitLoadPlate,
    "StitDirection": StitDirection,
    "StitFaceEdit": StitFaceEdit,
    "StitMatte": StitMatte,
    "StitFrame": StitFrame,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "StitLoadPlate": "STIT Load Plate",
    "StitDirection": "STIT Direction",
    "StitFaceEdit": "STIT Face Edit",
    "StitMatte": "STIT Matte",
    "StitFrame": "STIT Frame",
}
