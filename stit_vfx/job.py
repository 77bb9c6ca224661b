"""The job: one validated, versioned document that says what is asked for. Schema `stit.job/1`.

Hosts and farms need to know nothing else of the engine. A job is data: no code, no shell, no environment
variables; unknown keys are refused, so that a misspelt setting is an error and not a silent default.
`device` and everything else about *how* a job is run is in `stit_vfx.options`.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from stit_vfx.canonical import canonical_data, canonical_json
from stit_vfx.document import read_document
from stit_vfx.errors import FrameRangeError, JobError, JobFieldError, JobVersionError
from stit_vfx.job_errors import job_error
from stit_vfx.job_layers import merged, resolved, with_folder, with_preset
from stit_vfx.options import STEPS
from stit_vfx.presets import PRESETS
from stit_vfx.words import parse_edit, parse_face, shot_name_of

SCHEMA = "stit.job/1"
# Windows opens these as devices in every folder and with any suffix: a shot made on Linux could not be read.
DEVICE_NAMES = frozenset(
    ["con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))]
)


def _fail(problem: str, hint: str = "") -> PydanticCustomError:
    return PydanticCustomError("stit", "{problem}", {"problem": problem, "hint": hint})


def _frame_range(text: str) -> str:
    """A frame range in its one normal spelling, so that `3,1-2` and `1-3` are the same job."""
    from stit_vfx.plate.sequence import format_frames, parse_frames

    try:
        return format_frames(parse_frames(text))
    except FrameRangeError as error:
        context = {"problem": error.problem, "hint": error.hint or ""}
        raise PydanticCustomError("stit_frames", "{problem}", context) from error


def _path(text: str) -> str:
    if not text.strip():
        raise _fail("is an empty path")
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        raise _fail("a path holds a control character")
    for part in re.split(r"[/\\]", text):
        if part.split(".")[0].rstrip(" ").lower() in DEVICE_NAMES:
            raise _fail(f"{part!r} is a device name on Windows", "Rename the file or folder")
    return text


def _shot_name(text: str) -> str:
    if text.split(".")[0].lower() in DEVICE_NAMES:
        raise _fail(f"{text!r} is a device name on Windows", "Choose another shot name")
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}", text):
        raise _fail(f"{text!r} is no shot name", "Use 1 to 64 letters, digits, dots, dashes and underscores")
    return text


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise _fail("holds a control character")
    return text


def _positive_zero(value: float) -> float:
    # -0.0 equals 0.0 and must not be another job.
    return value + 0.0


def _frame_keys(keys: Any) -> Any:
    """JSON has text for keys. One spelling of each frame: "01001" and "1001" would be two keys on one."""
    if not isinstance(keys, dict):
        return keys
    for name in keys:
        if not re.fullmatch(r"0|-?[1-9][0-9]{0,8}", str(name)):
            raise _fail(f"{name!r} is not a frame number", 'For example {"1001": 0, "1040": 0.5}')
    return {int(name): strength for name, strength in keys.items()}


Number = Annotated[float, Field(allow_inf_nan=False), AfterValidator(_positive_zero)]
Strength = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False), AfterValidator(_positive_zero)]
FrameRange = Annotated[str, AfterValidator(_frame_range)]
FilePath = Annotated[str, AfterValidator(_path)]
Line = Annotated[str, Field(max_length=512), AfterValidator(_one_line)]
Layer = Annotated[int, Field(ge=0, le=63)]


class _Section(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Face(_Section):
    """Which face: an id from `stit faces`, or a point or box (x0, y0, x1, y1) in plate pixels on a frame.

    All null: the largest face. `frame` null: the first frame in which there is a face.
    """

    id: Annotated[int, Field(ge=0)] | None = None
    point: tuple[Number, Number] | None = None
    box: tuple[Number, Number, Number, Number] | None = None
    frame: int | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(way is not None for way in (self.id, self.point, self.box)) > 1:
            raise _fail("picks the face in several ways", "Give one of id, point and box")
        if self.box and (self.box[0] >= self.box[2] or self.box[1] >= self.box[3]):
            raise _fail("box is empty", "Give it as left, top, right, bottom")
        return self


class Align(_Section):
    """How the crop follows the face. The sigmas are the published smoothing, in frames; 0 smooths nothing.

    `finder` auto: FAN where its weights are on this machine, else the built-in one. `scale` widens the crop.
    """

    finder: Literal["auto", "builtin", "dlib", "fan", "fan-3d"] = "auto"
    centre_sigma: Annotated[Number, Field(ge=0, le=100)] = 1.0
    axes_sigma: Annotated[Number, Field(ge=0, le=100)] = 3.0
    scale: Annotated[Number, Field(ge=0.5, le=3)] = 1.0


class Edit(_Section):
    """One direction of the pack, or a text, and how strongly: a constant, or keys by frame.

    A text is what the face shall be, such as "a smiling face"; `neutral` is what it is now. Style channels
    whose relevance to the text is up to `beta` stay; `amount` is the published factor at strength 1.
    """

    direction: Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_one_line)] | None = None
    text: Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_one_line)] | None = None
    neutral: Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_one_line)] = "face"
    beta: Annotated[Number, Field(ge=0, le=1)] = 0.12
    amount: Annotated[Number, Field(gt=0, le=100)] = 8.0
    strength: Strength | None = None
    keys: Annotated[dict[int, Strength], Field(min_length=1), BeforeValidator(_frame_keys)] | None = None
    layers: Annotated[tuple[Layer, ...], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.direction is None) == (self.text is None):
            raise _fail("needs either direction or text", 'For example "direction": "smile"')
        if (self.strength is None) == (self.keys is None):
            raise _fail("needs either strength or keys", 'For example "strength": 0.6')
        return self

    @property
    def name(self) -> str:
        """What the edit is called in records and on screen: the direction, or the text in quotes."""
        return self.direction if self.direction is not None else f'"{self.text}"'

    def at(self, frame: int) -> float:
        """Strength on a frame: straight lines between keys, held before the first and after the last."""
        if self.keys is None:
            return self.strength or 0.0
        frames = sorted(self.keys)
        right = bisect_right(frames, frame)
        if right == 0 or right == len(frames):
            return self.keys[frames[max(right - 1, 0)]]
        before, after = frames[right - 1], frames[right]
        share = (frame - before) / (after - before)
        return self.keys[before] + share * (self.keys[after] - self.keys[before])


class Tune(_Section):
    """The generator's tuning. `frames` null: the job's frames; pin it, and a trimmed shot stays tuned.

    `steps` counts rounds over all frames in schedule paper, and updates else. `locality` keeps the generator
    as it was away from the pivots (published option).
    """

    frames: FrameRange | None = None
    schedule: Literal["default", "paper"] = "default"
    steps: Annotated[int, Field(ge=1, le=100_000)] | None = None
    lr: Annotated[Number, Field(gt=0, le=1)] | None = None
    locality: bool = False


class Stitch(_Section):
    """Stitching tuning. `inner` and `outer` are the published dilations, in pixels of a 1024 crop.

    Not enabled: the edit as the tuned generator gives it. `threshold` ends a frame's loop when the border's
    loss is below it (null: the schedule's own; 0: never); `content` weighs the loss inside; `l1` takes
    absolute differences; `whole_image_border` makes everything around the face border.
    """

    enabled: bool = True
    steps: Annotated[int, Field(ge=1, le=10_000)] | None = None
    lr: Annotated[Number, Field(gt=0, le=1)] | None = None
    content: Annotated[Number, Field(ge=0, le=1000)] | None = None
    threshold: Annotated[Number, Field(ge=0)] | None = None
    l1: bool = False
    whole_image_border: bool = False
    inner: Annotated[int, Field(ge=0, le=512)] = 0
    outer: Annotated[int, Field(ge=0, le=512)] = 50


class Matte(_Section):
    """`grow` (negative shrinks) and `soften` in plate pixels; `holdout`: white keeps the plate.

    `feather` is the published one: eroded and blurred in the crop, in pixels of a 1024 crop.
    """

    grow: Annotated[Number, Field(ge=-512, le=512)] = 0.0
    soften: Annotated[Number, Field(ge=0, le=512)] = 6.0
    feather: Annotated[int, Field(ge=0, le=256)] = 0
    holdout: FilePath | None = None


class Output(_Section):
    """Where the shot's folder is made and how frames are written. Only lossless compressions are offered."""

    folder: FilePath = "renders"
    layers: bool = False
    compression: Literal["auto", "none", "rle", "zips", "zip", "piz"] = "auto"
    pixel: Literal["source"] = "source"


class Job(_Section):
    """What is asked for, for one face of a shot. Make one with `Job.load`, `from_data` or `from_options`.

    `freeze_fine_layers` k holds the rows of W+ from k on still over the shot, after the tuning. `tuned`: a
    file of weights, pivots and crops that were tuned elsewhere, in place of the first three steps.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, populate_by_name=True)

    schema_: Annotated[Literal["stit.job/1"], Field(alias="schema")]
    shot: Annotated[str, AfterValidator(_shot_name)]
    plate: FilePath
    frames: FrameRange | None = None
    colourspace: Line | None = None
    face: Face = Face()
    pack: FilePath = "builtin"
    align: Align = Align()
    edits: Annotated[tuple[Edit, ...], Field(min_length=1, max_length=64)]
    freeze_fine_layers: Annotated[int, Field(ge=0, le=63)] | None = None
    tuned: FilePath | None = None
    tune: Tune = Tune()
    stitch: Stitch = Stitch()
    putback: Literal["detail", "delta", "replace"] = "detail"
    matte: Matte = Matte()
    quality: Literal["draft", "final"] = "final"
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    output: Output = Output()
    consent: Line = ""
    quads: FilePath | None = None

    @model_validator(mode="after")
    def _each_edit_once(self) -> Self:
        seen = [(edit.name, edit.layers) for edit in self.edits]
        twice = next((direction for n, (direction, _) in enumerate(seen) if seen[n] in seen[:n]), None)
        if twice is not None:
            raise _fail(f"{twice!r} is edited twice", "Give each direction once")
        return self

    @classmethod
    def load(cls, path: str | Path, *, changes: Mapping[str, Any] | None = None) -> Job:
        """Read a job file. Relative paths in it start at its own folder.

        `changes` is a nested mapping laid over the file before it is checked (a command line's flags);
        its relative paths start at the working folder. A preset in it lies over the file and under the rest.
        """
        path = Path(path)
        data = with_preset(read_document(path))
        data = resolved(with_folder(data, Output().folder), path.absolute().parent)
        return cls.from_data(merged(data, resolved(with_preset(changes or {}), Path.cwd())), where=path)

    @classmethod
    def from_data(
        cls, data: Mapping[str, Any], *, base: Path | None = None, where: str | Path | None = None
    ) -> Job:
        """Check parsed JSON. `base`: folder that relative paths start at (default: the working folder).

        `preset` in it names fields that hold where nothing else is said (`stit_vfx.presets`).
        """
        _check_version(data, where)
        data = with_preset(data)
        data = resolved(with_folder({**data, "schema": SCHEMA}, Output().folder), base or Path.cwd())
        if data.get("shot") is None:
            data["shot"] = shot_name_of(str(data.get("plate", "")))
        try:
            # JSON mode: arrays are tuples and object keys are frames, and nothing else is converted.
            return cls.model_validate_json(json.dumps(data))
        except ValidationError as error:
            raise job_error(error, _SECTIONS, where) from None
        except (TypeError, ValueError) as error:
            raise JobError(f"is not a JSON document: {error}", where=where) from None

    @classmethod
    def from_options(
        cls,
        *,
        plate: str,
        edits: Sequence[str | Mapping[str, Any]],
        face: str | Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Job:
        """A job from short words, as on a command line; a mapping is taken as it is in JSON.

        edits   `smile=0.6`, or with keys `age=0@1001,-0.5@1040`
        face    `960,400@1001` (point), `x0,y0,x1,y1@1001` (box), or an id; `@frame` may be left out
        fields  any other field of the job, as in JSON
        """
        fields["edits"] = [parse_edit(edit) if isinstance(edit, str) else dict(edit) for edit in edits]
        fields["face"] = parse_face(face) if isinstance(face, str) else face
        data = {"schema": SCHEMA, "plate": plate, **fields}
        return cls.from_data({name: value for name, value in data.items() if value is not None})

    def with_defaults(self, *, frames: Sequence[int] = (), colourspace: str | None = None) -> Job:
        """The same job with nothing left to be looked up: `frames` are those the plate has.

        A colour space is filled in only when given; null stays null and means "what the plate says".
        """
        from stit_vfx.plate.sequence import format_frames

        if self.frames is None and not frames:
            raise JobFieldError("frames: the job does not say which", hint="Give --frames")
        chosen = self.frames or format_frames(tuple(frames))
        tune = self.tune.model_copy(update={"frames": self.tune.frames or chosen})
        space = self.colourspace or colourspace
        return self.model_copy(update={"frames": chosen, "tune": tune, "colourspace": space})

    def replace(self, changes: Mapping[str, Any]) -> Job:
        """A checked copy with a nested mapping of changes laid over it."""
        return self.from_data(merged(self.to_data(), changes))

    def frame_numbers(self) -> tuple[int, ...]:
        """Frames to deliver. Empty while `frames` is null (see `with_defaults`)."""
        return _numbers(self.frames)

    def tune_frames(self) -> tuple[int, ...]:
        """Frames that the generator is tuned to."""
        return _numbers(self.tune.frames or self.frames)

    def read_frames(self) -> tuple[int, ...]:
        """Frames to track, align and invert: those to deliver and those to tune to."""
        return tuple(sorted({*self.frame_numbers(), *self.tune_frames()}))

    def strengths_at(self, frame: int) -> tuple[float, ...]:
        """One strength per edit, in the order of `edits`."""
        return tuple(edit.at(frame) for edit in self.edits)

    def to_data(self) -> dict[str, Any]:
        """Plain JSON types with every field present."""
        return self.model_dump(mode="json", by_alias=True)

    def canonical_json(self) -> str:
        """One line, sorted, ASCII: equal text means equal job."""
        return canonical_json(self.to_data())

    @property
    def sha256(self) -> str:
        """What the job asks for, in one number; the folder that it is written to is not part of it."""
        data = self.to_data()
        data["output"] = {name: value for name, value in data["output"].items() if name != "folder"}
        return sha256(canonical_json(data).encode()).hexdigest()

    def settings_for(self, step: str, *, frame: int | None = None) -> dict[str, Any]:
        """The part of the job that a step's own code reads, normalised, for its content key.

        Paths are left out: what is *in* a plate, quad file, hold-out or pack belongs to a key's `inputs` and
        `models`. What a step gets from earlier steps is in their keys. With `frame`, `edit` reads only that
        frame's strengths, so a key moved at 1040 leaves 1001 as it is. The numbers of invert, tune and stitch
        depend on the pack too; `TuneSettings.decide` and its like have them.
        """
        if step not in STEPS:
            raise ValueError(f"no step {step!r}")
        return canonical_data(getattr(self, f"_read_by_{step}")(frame))

    def _read_by_align(self, _frame: int | None) -> dict[str, Any]:
        from stit_vfx.plate.sequence import format_frames

        # Tracks and smoothing run over all frames read, so the list of them is a setting.
        frames = format_frames(self.read_frames())
        crop = self.align.model_dump(exclude={"finder"})  # which finder it is, is in the tracks' key
        face = self.face.model_dump()
        return {"face": face, "colourspace": self.colourspace, "frames": frames, "crop": crop}

    def _read_by_invert(self, _frame: int | None) -> dict[str, Any]:
        return {}

    def _read_by_tune(self, _frame: int | None) -> dict[str, Any]:
        return {"frames": self.tune.frames or self.frames}

    def _read_by_edit(self, frame: int | None) -> dict[str, Any]:
        if frame is None:
            return {"edits": [edit.model_dump() for edit in self.edits]}
        moving = [[_what(edit), edit.at(frame), edit.layers] for edit in self.edits if edit.at(frame) != 0]
        return {"edits": sorted(moving, key=canonical_json)}  # they add up, in any order

    def _read_by_stitch(self, _frame: int | None) -> dict[str, Any]:
        return {}

    def _read_by_composite(self, _frame: int | None) -> dict[str, Any]:
        matte = self.matte.model_dump(include={"grow", "soften", "feather"})
        matte |= self.stitch.model_dump(include={"inner", "outer"})
        output = self.output.model_dump(exclude={"folder"})
        return {"putback": self.putback, "matte": matte, "output": output}


def _what(edit: Edit) -> Any:
    return edit.direction or [edit.text, edit.neutral, edit.beta, edit.amount]


_SECTIONS: Mapping[object, type[BaseModel]] = {
    **{None: Job, "align": Align, "face": Face, "edits": Edit, "tune": Tune},
    **{"stitch": Stitch, "matte": Matte, "output": Output},
}


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of `stit.job/1`, for editors and other tools."""
    schema = Job.model_json_schema(by_alias=True)
    schema["required"].remove("shot")  # `from_data` names it after the plate
    schema["properties"]["preset"] = {
        "enum": list(PRESETS),
        "description": "Fields that hold where nothing else is said; not kept.",
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA, **schema}


def _check_version(data: Mapping[str, Any], where: str | Path | None) -> None:
    schema = data.get("schema")
    match = re.fullmatch(r"stit\.job/(\d+)(\.\d+)?", schema) if isinstance(schema, str) else None
    if match is None:
        shown = "is missing" if schema is None else f"{schema!r} is not a job's"
        raise JobFieldError(f"schema: {shown}", where=where, hint=f'Write "schema": "{SCHEMA}"')
    if match[1] != "1":
        raise JobVersionError(
            f"schema: {schema} is not one that this engine reads ({SCHEMA})",
            where=where,
            hint="Update stit_vfx, or write the job for this version",
        )


def _numbers(text: str | None) -> tuple[int, ...]:
    from stit_vfx.plate.sequence import parse_frames

    return () if text is None else parse_frames(text)
