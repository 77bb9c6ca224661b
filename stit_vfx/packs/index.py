"""A pack index: what a studio, or a public place, offers to fetch. Schema `stit.packindex/1`.

`packs` are ready packs (pack.json and safetensors). `models` are public model files in their own formats, for
`stit packs convert`. Every file comes with its size and sha256, so that a mirror need not be trusted; the
index itself must be. Unknown keys are refused with the path to them, as in pack.json.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote, unquote

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from stit_vfx.errors import PackDamagedError, PackFormatError, PackMissingError, PackNewerError
from stit_vfx.packs import schema
from stit_vfx.packs.registry import file_digest, pack_folders, verify_pack
from stit_vfx.packs.schema import Digest, Name, PackSpec, read_spec

SCHEMA = "stit.packindex/1"
FILE = "index.json"
MAX_BYTES = 4_000_000
PART_ENDINGS = (".part", ".part.json")

_PACK_FILES = (".safetensors", ".txt", ".md")
# Windows opens a device for these, whatever their ending.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def check_file_name(name: str) -> str:
    """The name, if it is one plain file of a folder; else ValueError. All that is fetched has such a name."""
    plain = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", name)
    if not plain or name.endswith((".", *PART_ENDINGS)) or _DEVICES.fullmatch(name):
        raise ValueError(f"{name!r} is no plain file name")
    return name


def _file_name(name: str) -> str:
    try:
        return check_file_name(name)
    except ValueError:
        raise PydanticCustomError("stit", "{name} is no plain file name", {"name": repr(name)}) from None


def _address(url: str) -> str:
    """http(s), or a place at or below the index's own."""
    if re.fullmatch(r"https?://[^/?#@\s\\]+(/[\x21-\x7e]*)?", url, re.IGNORECASE):
        return url
    steps = unquote(url).split("/")
    if not re.fullmatch(r"[\x21-\x7e]+", url) or any(sign in unquote(url) for sign in "\\:?#\0"):
        raise PydanticCustomError("stit", "{url} is no http(s) address", {"url": repr(url)})
    if url.startswith("/") or ".." in steps or "" in steps:
        raise PydanticCustomError("stit", "{url} leads out of the index's folder", {"url": repr(url)})
    return url


# Shown on a terminal before anybody trusts the index: no control characters, nothing that turns text round.
_HIDDEN = r"\x7f-\x9f\u202a-\u202e\u2066-\u2069"
Line = Annotated[str, Field(max_length=300, pattern=rf"^[^\x00-\x1f{_HIDDEN}]*$")]
Text = Annotated[str, Field(max_length=40_000, pattern=rf"^[^\x00-\x08\x0b-\x1f{_HIDDEN}]*$")]
Address = Annotated[str, Field(max_length=2000), AfterValidator(_address)]
WebAddress = Annotated[str, Field(max_length=2000, pattern=r"^https?://[\x21-\x7e]+$")]


Kind = Literal[
    "generator",
    "encoder",
    "parser",
    "perceptual",
    "identity",
    "text",
    "style_basis",
    "directions",
    "fan",
]


class _Section(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, populate_by_name=True)


class OfferedFile(_Section):
    """One file. `url`: absolute, or relative to the index; left out, the file lies beside the index."""

    name: Annotated[str, AfterValidator(_file_name)]
    url: Address | None = None
    size: Annotated[int, Field(gt=0)]
    sha256: Digest


class _Offer(_Section):
    name: Name
    title: Line = ""
    licence: Annotated[Line, Field(min_length=1)]
    licence_text: Text = ""
    licence_url: WebAddress | None = None
    commercial_use: Literal["yes", "no", "unknown"]
    version: Line = ""
    note: Text = ""
    files: Annotated[tuple[OfferedFile, ...], Field(min_length=1, max_length=1000)]

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(file.size for file in self.files)

    @model_validator(mode="after")
    def _each_file_once(self) -> Self:
        # Some file systems take A and a for one file.
        names = [file.name.lower() for file in self.files]
        if twice := [name for name in names if names.count(name) > 1]:
            raise PydanticCustomError("stit", f"files: {twice[0]} is given twice")
        return self


class PackOffer(_Offer):
    """A ready pack. Its licence and commercial use are those of its pack.json, or it is refused."""

    @model_validator(mode="after")
    def _holds_a_pack(self) -> Self:
        names = [file.name for file in self.files]
        if schema.FILE not in names:
            raise PydanticCustomError("stit", f"files: a pack has a {schema.FILE}")
        for name in names:
            if name != schema.FILE and not name.endswith(_PACK_FILES):
                raise PydanticCustomError("stit", f"files: {name} is no file of a pack")
        return self


class ModelOffer(_Offer):
    """Public model files in their own formats. `kind`: which part of a pack they become; fan: face landmarks.

    Left out, they are said to make a pack, as a generator's do, alone or with the files of other parts.
    """

    kind: Kind | None = None


class PackIndex(_Section):
    """The whole index."""

    schema_: Annotated[Literal["stit.packindex/1"], Field(alias="schema")]
    title: Line = ""
    packs: tuple[PackOffer, ...] = ()
    models: tuple[ModelOffer, ...] = ()

    @property
    def offers(self) -> tuple[PackOffer | ModelOffer, ...]:
        """Packs, then models."""
        return (*self.packs, *self.models)

    @model_validator(mode="after")
    def _each_name_once(self) -> Self:
        names = [offer.name.lower() for offer in self.offers]
        if twice := [name for name in names if names.count(name) > 1]:
            raise PydanticCustomError("stit", f"{twice[0]} is offered twice")
        return self


def parse_index(text: str | bytes, *, where: str | Path | None = None) -> PackIndex:
    """Check an index. Raises PackFormatError, which names the field, or PackNewerError."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PackFormatError(f"is not JSON: {error}", where=where) from None
    _check_version(data, where)
    try:
        return PackIndex.model_validate_json(text)
    except ValidationError as error:
        raise PackFormatError(schema.first_problem(error), where=where) from None


def _check_version(data: object, where: str | Path | None) -> None:
    told = data.get("schema") if isinstance(data, dict) else None
    match = re.fullmatch(r"stit\.packindex/(\d+)(\.\d+)?", told) if isinstance(told, str) else None
    if match is None:
        hint = f"Expected {SCHEMA}; `stit packs index FOLDER` makes one"
        raise PackFormatError(f"schema: {told!r} is not a pack index's", where=where, hint=hint)
    if int(match[1]) > 1:
        raise PackNewerError(f"is written for a newer engine ({told})", where=where, hint="Update stit_vfx")


def make_index(folder: Path, *, title: str = "", base_url: str = "") -> dict[str, Any]:
    """The index of the packs in a folder, each of which is verified first; as JSON data.

    base_url  where the folder will be found; left out, the addresses are relative to the index's own place
    Raises PackMissingError where there is no pack, PackDamagedError for one that is not whole.
    """
    packs = [_offer_of(each, _prefix(folder, each, base_url)) for each in pack_folders([folder])]
    if not packs:
        raise PackMissingError("holds no packs", where=folder, hint="Give the folder that the packs lie in")
    data: dict[str, Any] = {"schema": SCHEMA, **({"title": title} if title else {}), "packs": packs}
    parse_index(json.dumps(data), where=folder)
    return data


def _prefix(folder: Path, pack: Path, base_url: str) -> str:
    inside = "" if pack == folder else f"{quote(pack.name)}/"
    return f"{base_url.rstrip('/')}/{inside}" if base_url else inside


def _offer_of(folder: Path, prefix: str) -> dict[str, Any]:
    if problems := verify_pack(folder):
        raise PackDamagedError(problems[0], where=folder, hint="Repair it, or move it out of the folder")
    spec = read_spec(folder)
    told = {"name": spec.name, "title": spec.title, "licence": spec.licence, "note": spec.notice}
    return {
        **{name: value for name, value in told.items() if value},
        "commercial_use": spec.commercial_use,
        "files": [_file_of(path, prefix) for path in _files_of(folder, spec)],
    }


def _files_of(folder: Path, spec: PackSpec) -> Iterator[Path]:
    """pack.json, its weights, and texts such as the licence."""
    yield folder / schema.FILE
    yield from (folder / name for name in sorted(spec.sha256))
    texts = (path for path in folder.iterdir() if path.suffix in (".txt", ".md") and path.is_file())
    yield from sorted(texts)


def _file_of(path: Path, prefix: str) -> dict[str, Any]:
    size, digest = path.stat().st_size, file_digest(path)
    return {"name": path.name, "url": prefix + quote(path.name), "size": size, "sha256": digest}
