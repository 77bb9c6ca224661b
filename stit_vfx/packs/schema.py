"""`pack.json`: what a model pack says of itself. Schema `stit.pack/1`.

A pack is a folder with this file and safetensors. Unknown keys are refused with the path to them; only a
geometry-aware pack's generator, encoder and shape may carry settings of their own, which its model reads.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from stit_vfx.errors import PackDamagedError, PackFormatError, PackNewerError

SCHEMA = "stit.pack/1"
FILE = "pack.json"
MAX_BYTES = 4_000_000
NAME_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


def _plain_file(name: str) -> str:
    """A file beside pack.json: no folders, so that a pack cannot reach outside itself."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*\.safetensors", name):
        raise PydanticCustomError("stit", "{name} is no file of this folder", {"name": repr(name)})
    return name


def _power_of_two(value: int) -> int:
    if value & (value - 1):
        raise PydanticCustomError("stit", "{value} is no power of two", {"value": value})
    return value


FileName = Annotated[str, AfterValidator(_plain_file)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Resolution = Annotated[int, Field(ge=8, le=2048), AfterValidator(_power_of_two)]
Name = Annotated[str, Field(pattern=NAME_PATTERN)]


class _Section(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class _Open(_Section):
    """A section with settings of its own beside the named ones."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True, allow_inf_nan=False)

    @property
    def settings(self) -> dict[str, Any]:
        """What is not one of the named fields."""
        return dict(self.model_extra or {})


class PlainGenerator(_Section):
    """StyleGAN2 with skip connections; `channel_base // r` channels at resolution r, up to `channel_max`.

    `channels` says them one by one, from 4 px up, where they follow no such rule.
    """

    arch: Literal["stylegan2"]
    file: FileName
    resolution: Resolution
    num_ws: Positive
    z_dim: Positive = 512
    w_dim: Positive = 512
    mapping_layers: Positive = 8
    mapping_lr: Annotated[float, Field(gt=0)] = 0.01
    channel_base: Positive = 32768
    channel_max: Positive = 512
    channels: tuple[Positive, ...] | None = None
    num_fp16_res: Annotated[int, Field(ge=0)] = 0
    conv_clamp: Annotated[float, Field(gt=0)] | None = None


class GeometryGenerator(_Open):
    """A generator that is told the face's geometry; further settings are its model's."""

    arch: Literal["geometry"]
    file: FileName
    resolution: Resolution
    num_ws: Positive
    w_dim: Positive = 512


class PlainEncoder(_Section):
    """e4e, or pSp, whose rows share no base; widths and depths of the body's four groups."""

    arch: Literal["e4e", "psp"]
    file: FileName
    widths: tuple[Positive, Positive, Positive, Positive] = (64, 128, 256, 512)
    depths: tuple[Positive, Positive, Positive, Positive] = (3, 4, 14, 3)
    reduction: Positive = 16


class GeometryEncoder(_Open):
    arch: Literal["geometry"]
    file: FileName


class Shape(_Open):
    """The learned face shape of geometry-aware packs."""

    file: FileName


class Parser(_Section):
    arch: Literal["bisenet"]
    file: FileName


class Reader(_Section):
    """The network that finds landmarks and labels in crops `resolution` px wide; see `gan.face_reader`."""

    arch: Literal["unet-68"]
    file: FileName
    resolution: Positive = 128
    widths: tuple[Positive, ...] = (24, 48, 96, 144, 192)


class PerceptualNet(_Section):
    arch: Literal["lpips-alex"]
    file: FileName


class IdentityNet(_Section):
    arch: Literal["arcface-ir-se50"]
    file: FileName


class TextNet(_Section):
    """The text half of CLIP: a causal transformer over byte-pair tokens."""

    arch: Literal["clip-text"]
    file: FileName
    layers: Positive = 12
    heads: Positive = 8
    quick_gelu: bool = True


class StyleBasis(_Section):
    """What each style channel does to an image's embedding, for text edits (StyleCLIP, global directions).

    Tensors: `basis` (conv channels, D); `std` (all style channels), where it was measured.
    """

    file: FileName


class PartLicence(_Section):
    """Under which terms one part came, and from which file (sha256 of the file as it was brought)."""

    licence: str
    commercial_use: Literal["yes", "no", "unknown"]
    source: str = ""
    source_sha256: Digest | None = None


class DirectionSpec(_Section):
    """One edit: a tensor `key` (default: the direction's name) of `file`, moves of the shape, or both.

    `kind` transformer: an affine map of the rows in place of one vector, tensors `key.weight` and `key.bias`.
    `scale` makes strength 1 a clear, natural edit. `shape` and `look` are free form, read by the model.
    `measured`: what is known of it, such as how well it separates the samples that it was learned from.
    """

    title: str = ""
    kind: Literal["linear", "transformer"] = "linear"
    space: Literal["w", "w+", "style"] = "w"
    file: FileName | None = None
    key: str | None = None
    scale: float = 1.0
    range: tuple[float, float] = (-1.0, 1.0)
    layers: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    shape: dict[str, Any] = Field(default_factory=dict)
    look: dict[str, Any] = Field(default_factory=dict)
    measured: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _moves_something(self) -> Self:
        if self.file is None and not self.shape and not self.look:
            raise PydanticCustomError("stit", "moves nothing: it has no file, shape or look")
        if self.kind == "transformer" and (self.file is None or self.space == "style"):
            raise PydanticCustomError("stit", "a transformer needs a file, and space w or w+")
        return self


class Schedule(_Section):
    """How this generator wants to be tuned and stitched; what is left out is the engine's default.

    `steps_per_frame`: updates by the shot's length, where `steps` does not fix them. `project_steps`,
    `project_lr`: for packs without an encoder, updates that find a face's first code.
    """

    steps: Positive | None = None
    steps_per_frame: Annotated[float, Field(gt=0)] | None = None
    lr: Annotated[float, Field(gt=0)] | None = None
    batch: Positive | None = None
    stitch_steps: Positive | None = None
    stitch_lr: Annotated[float, Field(gt=0)] | None = None
    project_steps: Positive | None = None
    project_lr: Annotated[float, Field(gt=0)] | None = None


class PackSpec(_Section):
    """The whole file. `sha256` has every file of the pack but pack.json itself.

    `licence` and `commercial_use` hold for the whole, which is no freer than its strictest part; `licences`
    says them part by part (`generator`, `directions.smile`). Without an encoder, pivots are found by
    optimisation.
    `crop_size` is the side of the crop that is put back (default: the model's choice); `trust` holds shares
    of the generator, 0..1, in what a geometry-aware pack puts back, by region.
    """

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True
    )

    schema_: Annotated[Literal["stit.pack/1"], Field(alias="schema")]
    name: Name
    title: str = ""
    licence: str
    notice: str = ""
    commercial_use: Literal["yes", "no", "unknown"]
    source: str = ""
    generator: Annotated[PlainGenerator | GeometryGenerator, Field(discriminator="arch")]
    encoder: Annotated[PlainEncoder | GeometryEncoder, Field(discriminator="arch")] | None = None
    shape: Shape | None = None
    reader: Reader | None = None
    parser: Parser | None = None
    perceptual: PerceptualNet | None = None
    identity: IdentityNet | None = None
    text: TextNet | None = None
    style_basis: StyleBasis | None = None
    directions: dict[Name, DirectionSpec] = Field(default_factory=dict)
    trust: dict[str, Share] = Field(default_factory=dict)
    schedule: Schedule = Schedule()
    crop_size: Positive | None = None
    made_by: dict[str, Any] = Field(default_factory=dict)
    licences: dict[str, PartLicence] = Field(default_factory=dict)
    sha256: dict[FileName, Digest]

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        rows = 2 * (self.generator.resolution.bit_length() - 2)
        if self.generator.num_ws != rows:
            size = self.generator.resolution
            raise PydanticCustomError("stit", f"generator.num_ws is {rows} at resolution {size}")
        if unknown := sorted(self.files() - set(self.sha256)):
            raise PydanticCustomError("stit", f"sha256 has no entry for {unknown[0]}")
        geometry = self.generator.arch == "geometry"
        if geometry != (self.encoder is not None and self.encoder.arch == "geometry"):
            raise PydanticCustomError("stit", "encoder.arch does not go with generator.arch")
        table = self.generator.channels if isinstance(self.generator, PlainGenerator) else None
        if table is not None and len(table) != rows // 2:
            raise PydanticCustomError("stit", f"generator.channels has {rows // 2} numbers at this size")
        if (self.generator.arch == "geometry") != (self.shape is not None):
            raise PydanticCustomError("stit", "shape belongs to generator.arch geometry, and to no other")
        if self.reader is not None and self.generator.arch != "geometry":
            raise PydanticCustomError("stit", "reader belongs to generator.arch geometry, and to no other")
        return self

    def files(self) -> set[str]:
        """Names of all weight files that the pack uses."""
        nets = (self.generator, self.encoder, self.shape, self.parser, self.perceptual, self.identity)
        more = (self.reader, self.text, self.style_basis)
        named = {part.file for part in (*nets, *more) if part is not None}
        return named | {each.file for each in self.directions.values() if each.file is not None}


def read_spec(folder: Path) -> PackSpec:
    """pack.json of a folder. Raises PackFormatError, PackNewerError, or PackDamagedError if unreadable."""
    path = folder / FILE
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise PackDamagedError(f"cannot be read: {error}", where=path, hint="Copy the pack again") from None
    if len(text) > MAX_BYTES:
        raise PackFormatError(f"is larger than {MAX_BYTES} bytes", where=path)
    return parse_spec(text, where=path)


def parse_spec(text: str | bytes, *, where: str | Path | None = None) -> PackSpec:
    """Check a pack.json."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PackFormatError(f"is not JSON: {error}", where=where) from None
    _check_version(data, where)
    try:
        return PackSpec.model_validate_json(text)
    except ValidationError as error:
        raise PackFormatError(first_problem(error), where=where) from None


def _check_version(data: object, where: str | Path | None) -> None:
    schema = data.get("schema") if isinstance(data, dict) else None
    match = re.fullmatch(r"stit\.pack/(\d+)(\.\d+)?", schema) if isinstance(schema, str) else None
    if match is None:
        raise PackFormatError(f"schema: {schema!r} is not a pack's", where=where, hint=f"Expected {SCHEMA}")
    if int(match[1]) > 1:
        raise PackNewerError(f"is written for a newer engine ({schema})", where=where, hint="Update stit_vfx")


def first_problem(error: ValidationError) -> str:
    """The first problem with the path to its field, and how many more there are."""
    details = error.errors(include_url=False)
    first = details[0]
    # The architecture that a section was checked as is in the path; a reader of the file does not see it.
    path = [str(part) for part in first["loc"] if part not in ("stylegan2", "geometry", "e4e")]
    words = "is not a known key" if first["type"] == "extra_forbidden" else first["msg"]
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    return f"{'.'.join(path)}: {words}{more}" if path else f"{words}{more}"
