"""The job that a strip asks for, as data: `stit.job/1`. Nothing here knows Blender.

Strengths are sampled by the caller, one for each source frame; the engine knows nothing of a host's curves.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Sequence

from .engine import stit_session
from .exrhead import says_its_colour
from .plates import StripPlate, file_of, shot_name
from .sliders import Pack

SCHEMA = "stit.job/1"
# What Blender's own config calls a space, as the engine's own config calls it.
ENGINE_SPACES = {
    "Linear": "lin_rec709",
    "Linear Rec.709": "lin_rec709",
    "scene_linear": "lin_rec709",
    "ACEScg": "ACEScg",
    "Linear ACEScg": "ACEScg",
    "ACES2065-1": "ACES2065-1",
    "Linear ACES": "ACES2065-1",
}


class JobTrouble(Exception):
    """Settings that are no job yet. Says what to do; shown as it is."""


@dataclass(frozen=True)
class Settings:
    """A strip's settings. `strengths`: per direction, a value for each of the plate's frames, in order."""

    strengths: Mapping[str, Sequence[float]]
    output: str
    shot: str = ""
    pack: str = "builtin"
    colourspace: str | None = None
    face: Mapping[str, Any] = field(default_factory=dict)
    grow: float = 0.0
    soften: float = 6.0
    holdout: str = ""
    quality: str = "final"
    putback: str = "detail"
    layers: bool = False
    seed: int = 0
    tune_steps: int = 0
    stitch_steps: int = 0
    consent: str = ""


def build_job(plate: StripPlate, settings: Settings, pack: Pack | None) -> Dict[str, Any]:
    """The job. `pack` None: the pack is not known here, and the engine will judge. Raises JobTrouble."""
    edits = _edits(plate.frames, settings.strengths, pack)
    if not edits:
        raise JobTrouble("All sliders are at 0, so the result would be the plate itself. Move one.")
    job: Dict[str, Any] = {
        "schema": SCHEMA,
        "shot": settings.shot or shot_name(plate.pattern),
        "plate": plate.pattern,
        "frames": stit_session.frame_range(plate.frames),
        "pack": settings.pack or "builtin",
        "edits": edits,
        "matte": {"grow": number(settings.grow), "soften": number(settings.soften)},
        "quality": settings.quality,
        "putback": settings.putback,
        "seed": settings.seed,
        "output": {"folder": settings.output, "layers": settings.layers},
    }
    if settings.colourspace:
        job["colourspace"] = settings.colourspace
    if settings.face:
        job["face"] = dict(settings.face)
    if settings.holdout:
        job["matte"]["holdout"] = settings.holdout
    if settings.tune_steps:
        job["tune"] = {"steps": settings.tune_steps}
    if settings.stitch_steps:
        job["stitch"] = {"steps": settings.stitch_steps}
    if settings.consent.strip():
        job["consent"] = " ".join(settings.consent.split())
    return job


def number(value: float) -> float:
    """A property's value as it was typed: Blender keeps 32 bits, and 0.1 comes back as 0.10000000149."""
    return float("{:.6g}".format(value)) + 0.0


def _edits(
    frames: Sequence[int], strengths: Mapping[str, Sequence[float]], pack: Pack | None
) -> List[Dict[str, Any]]:
    limits = {slider.direction: (slider.low, slider.high) for slider in pack.sliders} if pack else {}
    edits: List[Dict[str, Any]] = []
    for direction, values in strengths.items():
        low, high = limits.get(direction, (-1.0, 1.0))
        limited = {frame: number(min(max(value, low), high)) for frame, value in zip(frames, values)}
        if any(limited.values()):
            edits.append(stit_session.edit_of(direction, limited))
    return edits


def face_from(choice: str, faces: Sequence[Mapping[str, Any]], frames: Sequence[int]) -> Dict[str, Any]:
    """The job's face for a choice of the picker: "0" is the largest, else an id of the analysis.

    A face is named by its box on a frame and not by its id: ids are counted anew when a strip is trimmed.
    Raises JobTrouble if the analysis does not fit the strip any more.
    """
    if choice in ("", "0"):
        return {}
    known = {str(face.get("id")): face for face in faces}
    face = known.get(choice)
    if face is None or face.get("box_frame") not in set(frames):
        raise JobTrouble("The strip was trimmed or changed since its faces were found. Analyse it again.")
    left, top, right, bottom = (round(float(value), 3) for value in face["box"])
    return {"box": [left, top, right, bottom], "frame": int(face["box_frame"])}


def read_faces(answer: Any) -> List[Dict[str, Any]]:
    """Faces from what `stit faces --json` prints: id, frames, count, seen, box. Raises ValueError."""
    faces = answer.get("faces") if isinstance(answer, dict) else None
    if not isinstance(faces, list):
        raise ValueError("the engine's answer has no list of faces")
    told = []
    for face in faces:
        if not isinstance(face, dict) or not isinstance(face.get("id"), int) or len(face.get("box", ())) != 4:
            raise ValueError("a face in the engine's answer has no id or no box")
        kept = {name: face.get(name) for name in ("id", "frames", "count", "seen", "box", "box_frame")}
        kept["box"] = [round(float(value), 2) for value in face["box"]]
        told.append(kept)
    return told


def face_label(face: Mapping[str, Any]) -> str:
    """`Face 2: 1001-1040, 194 x 195 px`."""
    left, top, right, bottom = face["box"]
    return "Face {}: {}, {:.0f} x {:.0f} px".format(face["id"], face["frames"], right - left, bottom - top)


def colourspace_for(
    plate: StripPlate, *, said: str, strip_space: str, default_space: bool, own_config: bool
) -> str | None:
    """The job's colour space. None: what the plate's header says.

    said            what the user typed, which wins
    strip_space     the strip's space in Blender; `default_space`: nobody chose it
    own_config      $OCIO is set, so Blender and the engine read the same config and use the same names
    """
    if said.strip():
        return said.strip()
    if not plate.pattern.lower().endswith(".exr"):
        # Frames that are not EXR go through Blender's own config: see `needs_blender_config`.
        return strip_space
    if default_space and says_its_colour(file_of(plate.pattern, plate.frames[0])):
        return None
    return strip_space if own_config else ENGINE_SPACES.get(strip_space, strip_space)


def needs_blender_config(plate: StripPlate, *, own_config: bool) -> bool:
    """Whether the engine must read Blender's OCIO config, so that the result comes in Blender's light.

    An EXR is light already and goes through as it is. A movie or PNG is made light by the engine: in the
    engine's own config that would be ACEScg, which Blender would take for Rec.709.
    """
    return not own_config and not plate.pattern.lower().endswith(".exr")


def fingerprint(job: Mapping[str, Any]) -> str:
    """What is asked for, in 16 digits; where it is written to is not part of it."""
    asked = dict(job)
    asked["output"] = {name: value for name, value in job["output"].items() if name != "folder"}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def write_job(job: Mapping[str, Any]) -> str:
    """Write a job below its output folder, under a name that tells it from all others. Raises OSError."""
    name = "{}_{}.json".format(job["shot"], fingerprint(job))
    path: str = stit_session.write_job(os.path.join(job["output"]["folder"], "jobs", name), job)
    return path


def shot_folder(job: Mapping[str, Any]) -> str:
    """Where the engine keeps the shot: `<output>/<shot>.stit`."""
    return os.path.join(job["output"]["folder"], job["shot"] + ".stit")
