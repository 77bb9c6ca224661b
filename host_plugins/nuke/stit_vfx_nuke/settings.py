"""From a node's values to a job, and to words for the panel. No Nuke and no files in here.

Nuke's y runs up and its pixels' centres are at halves; the engine's y runs down and centres are whole.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

from .shared import edits_of, frame_range

EDIT = "edit_"
# Knobs that a job is made of. Sliders are sampled per frame and are not in here.
JOB_KNOBS = (
    *(
        "face",
        "faces",
        "face_pos",
        "face_frame",
        "pack",
        "matte_size",
        "matte_soft",
        "first",
        "last",
        "frames",
    ),
    *("quality", "seed", "smoothing", "out_dir", "shot", "compression", "plate_pixel"),
    *("extra_layers", "plate_space", "view", "device", "finder", "putback", "crop_scale", "consent"),
)
# A change of these does not make a cook stale: they say where and how, not what.
NOT_STALE = frozenset(("out_dir", "shot", "device", "view", "faces"))
# Words of the knob "send to": the engine's submitter, and whether it shall also send what it wrote.
FARMS = {
    "OpenJD bundle": ("openjd", False),
    "Deadline Cloud": ("openjd", True),
    "OpenCue": ("opencue", True),
    "command lines": ("commands", False),
}
# What Nuke calls linear in its own colour management has the primaries of Rec.709.
NUKE_LINEAR = "lin_rec709"
_RANGE = re.compile(r"(-?\d+)(?:-(-?\d+)(?:x(\d+))?)?$")
_MAX_FRAMES = 100_000


class SettingsError(Exception):
    """Something in the panel cannot be cooked; str() is for the artist."""


class Colour(NamedTuple):
    """What the engine is told of colour. `ocio`: does the script use OCIO; `config`: its file or name."""

    space: str
    ocio: bool
    config: str

    @property
    def flag(self) -> str | None:
        """The engine's --ocio: a path or ocio://. Bare names of stock configs are known to Nuke alone."""
        general = "/" in self.config or "\\" in self.config
        return self.config if self.ocio and general else None

    def __str__(self) -> str:
        if not self.ocio:
            return "{}, colour management Nuke".format(self.space)
        return "{} of {}".format(self.space, self.config or "the engine's own config")


def colour_of(root: Mapping[str, str], *, wish: str, variable: str) -> Colour:
    """The plate's space and config. `root`: the script's knobs; `wish`: the panel's; `variable`: $OCIO."""
    if root["colorManagement"] != "OCIO":
        return Colour(wish or NUKE_LINEAR, False, "")
    custom = root["OCIO_config"] == "custom"
    config = variable or (root["customOCIOConfigPath"] if custom else root["OCIOConfigPath"])
    return Colour(wish or plain_space(root["workingSpaceLUT"]) or "scene_linear", True, config)


def plain_space(text: str) -> str:
    """A space as the config names it: Nuke shows some as `default (linear)` or `scene_linear (ACEScg)`."""
    match = re.match(r"default \((.+)\)$", text.strip())
    return match.group(1) if match else text.strip()


def frames_of(values: Mapping[str, Any]) -> List[int]:
    """The frames to cook, sorted. Raises SettingsError."""
    text = str(values["frames"]).replace(",", " ").strip()
    if not text:
        first, last = int(values["first"]), int(values["last"])
        text = "{}-{}".format(first, last)
    frames: set[int] = set()
    for word in text.split():
        frames.update(_span(word))
    if not frames:
        raise SettingsError("The frame range is empty.")
    return sorted(frames)


def _span(word: str) -> range:
    match = _RANGE.match(word)
    if match is None:
        raise SettingsError("{!r} is no frame range. Write 1001-1010, or 1001-1100x2.".format(word))
    first = int(match.group(1))
    last = first if match.group(2) is None else int(match.group(2))
    step = int(match.group(3) or 1)
    if last < first or step < 1:
        raise SettingsError("{!r} is no frame range: it runs backwards.".format(word))
    if (last - first) // step >= _MAX_FRAMES:
        raise SettingsError("{!r} has more than {} frames.".format(word, _MAX_FRAMES))
    return range(first, last + 1, step)


def shot_name(wish: str, script: str, node: str) -> str:
    """The shot's folder name: the wish, else script and node. Only letters that every system takes."""
    stem = os.path.splitext(os.path.basename(script))[0]
    name = wish.strip() or "_".join(part for part in (stem, node.replace(".", "_")) if part)
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("._-")
    return name or "shot"


def face_of(values: Mapping[str, Any], height: int, frames: Sequence[int]) -> Dict[str, Any] | None:
    """The job's `face`; None: the largest. Raises SettingsError for one that Analyse did not find.

    A face of the menu is named by its box on a frame: ids are counted anew when the range changes. A single
    frame, which is a preview, is all the engine gets, so the place counts on that frame.
    """
    chosen = str(values["face"])
    alone = frames[0] if len(frames) == 1 else None
    if chosen == "at point":
        x, y = values["face_pos"]
        point = [round(x - 0.5, 3), round(height - y - 0.5, 3)]
        return {"point": point, "frame": int(values["face_frame"]) if alone is None else alone}
    match = re.match(r"face (\d+)\b", chosen)
    if match is None:
        return None
    face = faces_known(str(values["faces"])).get(int(match.group(1)))
    if face is None or (alone is None and face.frame not in frames):
        raise SettingsError("The range was changed since the faces were found. Press Analyse.")
    return {"box": list(face.box), "frame": face.frame if alone is None else alone}


def job_of(
    values: Mapping[str, Any],
    strengths: Mapping[str, Mapping[int, float]],
    *,
    shot: str,
    plate: str,
    colourspace: str | None,
    frames: Sequence[int],
    height: int,
) -> Dict[str, Any]:
    """The job. `strengths`: by direction and frame, as the curves give them."""
    smoothing = float(values["smoothing"])
    face = face_of(values, height, frames)
    return {
        "shot": shot,
        "plate": plate,
        "frames": frame_range(frames),
        **({"colourspace": colourspace} if colourspace else {}),
        **({"face": face} if face else {}),
        "pack": str(values["pack"]) or "builtin",
        "align": {
            "finder": str(values["finder"]),
            "centre_sigma": 1.0 * smoothing,
            "axes_sigma": 3.0 * smoothing,
            "scale": float(values["crop_scale"]),
        },
        "edits": edits_of(strengths),
        "putback": str(values["putback"]),
        "matte": {"grow": float(values["matte_size"]), "soften": float(values["matte_soft"])},
        "quality": str(values["quality"]),
        "seed": int(values["seed"]),
        "output": {
            "folder": str(values["out_dir"]),
            "layers": bool(values["extra_layers"]),
            "compression": str(values["compression"]),
        },
        "consent": str(values["consent"]),
    }


class ReadFacts(NamedTuple):
    """What decides whether the engine may read the plate's own files."""

    cls: str
    file: str
    raw: bool
    space: str
    first: int
    last: int
    touched: bool


def usable_as_is(facts: ReadFacts | None, frames: Sequence[int], colour: Colour) -> bool:
    """Is the input an EXR Read whose pixels on disk are what the node sees?

    Anything else is rendered first, so that retimes, denoise and crops upstream count.
    """
    return (
        facts is not None
        and facts.cls == "Read"
        and facts.file.lower().endswith(".exr")
        and not re.search(r"%v", facts.file, re.IGNORECASE)
        and not facts.touched
        and facts.first <= frames[0]
        and frames[-1] <= facts.last
        and (facts.raw or plain_space(facts.space) == colour.space)
    )


def hashed(text: str) -> str:
    """A short fingerprint of the settings, to see that a cook is stale."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def summary(edits: Mapping[str, str], frames: str, state: str) -> str:
    """What the tile says, such as `smile 0.6, age animated`, the range, and `stale`."""
    words = ", ".join("{} {}".format(name, value) for name, value in edits.items())
    return "\n".join(word for word in (words or "no edit", frames, state) if word)


class Face(NamedTuple):
    """A face that Analyse found, as the engine tells it: box (left, top, right, bottom) on a frame."""

    id: int
    frames: str
    frame: int
    box: Tuple[float, ...]

    @property
    def words(self) -> str:
        """Its entry in the menu."""
        return "face {} ({})".format(self.id, self.frames)


def faces_found(told: Mapping[str, Any]) -> List[Face]:
    """What `stit faces` answered."""
    found = told.get("faces")
    return [
        Face(
            int(face["id"]),
            str(face["frames"]),
            int(face["box_frame"]),
            tuple(round(float(number), 2) for number in face["box"]),
        )
        for face in (found if isinstance(found, list) else [])
    ]


def faces_text(faces: Sequence[Face]) -> str:
    """The faces as a knob keeps them: no letter in it that Tcl would read as its own."""
    return ";".join(
        "{}:{}:{}:{}".format(face.id, face.frames, face.frame, ",".join(str(side) for side in face.box))
        for face in faces
    )


def faces_known(text: str) -> Dict[int, Face]:
    """The faces that a knob keeps, by id. What is no face is left out."""
    known = {}
    for word in text.split(";"):
        parts = word.split(":")
        try:
            box = tuple(float(side) for side in parts[3].split(","))
            known[int(parts[0])] = Face(int(parts[0]), parts[1], int(parts[2]), box)
        except (IndexError, ValueError):
            continue
    return known


def farm_words(farm: str) -> List[str]:
    """The engine's words for a farm. Raises SettingsError for one that this plug-in does not know."""
    if farm not in FARMS:
        raise SettingsError("{!r} is no farm: choose one in send to.".format(farm))
    to, send = FARMS[farm]
    return ["--to={}".format(to), *(["--send"] if send else [])]


def submitted(told: Any, farm: str) -> Tuple[str, str]:
    """What `stit submit` answered: a line for the panel, and the whole for a dialog."""
    version, tasks = told.get("version"), told.get("tasks")
    sent = told.get("sent")
    done = "sent to {}".format(farm) if sent else "written for a farm"
    status = "{} {}, {} tasks".format(version, done, tasks)
    lines = [str(sent)] if sent else [*told.get("files", ()), "", *told.get("commands", ())]
    return status, "\n".join([status, "", *lines])


def nuke_box(box: Sequence[float], height: int) -> List[float]:
    """left, top, right, bottom of the engine as Nuke's x, y, r, t."""
    left, top, right, bottom = box
    return [left + 0.5, height - bottom - 0.5, right + 0.5, height - top - 0.5]


def newest_version(shot_folder: str) -> str | None:
    """The newest version that is finished: it has its record beside comp and matte."""
    out = os.path.join(shot_folder, "out")
    names = [name for name in _listed(out) if re.match(r"v\d+$", name)]
    for name in sorted(names, key=lambda name: int(name[1:]), reverse=True):
        folder = os.path.join(out, name)
        if os.path.isfile(os.path.join(folder, "provenance.json")):
            return folder
    return None


def sequence_in(folder: str) -> Tuple[str, int, int] | None:
    """The sequence in a folder: its pattern with %04d, first and last frame."""
    found: Dict[Tuple[str, int, str], List[int]] = {}
    for name in _listed(folder):
        match = re.match(r"(.*?)(-?\d+)(\.exr)$", name)
        if match:
            key = (match.group(1), len(match.group(2)), match.group(3))
            found.setdefault(key, []).append(int(match.group(2)))
    if not found:
        return None
    (stem, digits, suffix), frames = max(found.items(), key=lambda item: len(item[1]))
    pattern = "{}%0{}d{}".format(stem, digits, suffix)
    return "/".join((folder.replace(os.sep, "/"), pattern)), min(frames), max(frames)


def _listed(folder: str) -> List[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def folder_bytes(folder: str) -> int:
    """How much is in a folder."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:
                pass
    return total
