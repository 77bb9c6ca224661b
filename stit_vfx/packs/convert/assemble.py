"""A conversion: read and checked, shown, and only then written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from stit_vfx._version import __version__
from stit_vfx.errors import JobFieldError, OutputError, PackSourceError
from stit_vfx.packs.convert import licences
from stit_vfx.packs.convert.base import Base
from stit_vfx.packs.convert.choosing import chosen, halves_of
from stit_vfx.packs.convert.finder import PREFIX as FINDER
from stit_vfx.packs.convert.licences import Statement
from stit_vfx.packs.convert.part import Part
from stit_vfx.packs.convert.recognise import read_sources
from stit_vfx.packs.convert.weight import Weight
from stit_vfx.packs.convert.writing import link_or_copy, make_folder, refuse_existing, write_tensors
from stit_vfx.packs.registry import HERE, own_folder
from stit_vfx.packs.schema import FILE, SCHEMA, Name, parse_spec

TOOL = "stit packs convert"


@dataclass(frozen=True)
class Conversion:
    """What is to be written, complete and checked. Nothing has been written yet."""

    name: str
    folder: Path
    title: str
    parts: tuple[Part, ...]
    finders: tuple[Part, ...]
    statements: tuple[Statement, ...]
    notes: tuple[str, ...]
    base: Base | None
    in_place: bool

    def write(self) -> Path:
        """Make the pack, whole or not at all, and return its folder. Face finders go to their library."""
        from stit_vfx.face import fan_weights

        place = self.folder
        for part in self.finders:
            place = fan_weights.install(part.source, part.name.removeprefix(FINDER))
        if not self.parts:
            return place
        make_folder(self.folder, self._fill, replace=self.in_place)
        return self.folder

    def _fill(self, temporary: Path) -> None:
        made = {}
        for section, parts in halves_of(self.parts):
            file = self._file_of(section)
            made[file] = write_tensors(temporary / file, _tensors(section, parts), source=parts[0].source)
        data = self._described(made)
        for file in set(data["sha256"]) - set(made):
            assert self.base is not None
            link_or_copy(self.base.folder / file, temporary / file)
        self._copy_texts(temporary)
        text = json.dumps(data, indent=1, allow_nan=False) + "\n"
        parse_spec(text, where=self.folder / FILE)
        (temporary / FILE).write_text(text)

    def _copy_texts(self, temporary: Path) -> None:
        """Licences and notes that lie beside an old pack's weights."""
        for path in sorted(self.base.folder.iterdir()) if self.base is not None else ():
            if path.suffix in (".txt", ".md") and path.is_file():
                link_or_copy(path, temporary / path.name)

    def _file_of(self, section: str) -> str:
        """A file's name, of which the old pack has none that stays."""
        stem = section.replace("directions.", "direction.", 1)
        taken = self._kept_files
        names = (f"{stem}{tail}.safetensors" for tail in ("", *(f".{n}" for n in range(2, 10_000))))
        return next(name for name in names if name not in taken)

    @cached_property
    def _kept_files(self) -> frozenset[str]:
        """Files of the old pack that parts use which stay."""
        if self.base is None:
            return frozenset()
        spec, new = self.base.spec, {part.section for part in self.parts}
        names = [name for name in self.base.names() if name not in new]
        sections = [
            spec.directions[name.removeprefix("directions.")]
            if name.startswith("directions.")
            else getattr(spec, name)
            for name in names
        ]
        return frozenset(each.file for each in sections if each.file is not None)

    def _described(self, made: Mapping[str, str]) -> dict[str, Any]:
        """pack.json."""
        data: dict[str, Any] = dict(self.base.data) if self.base is not None else {}
        data = {"schema": SCHEMA, "name": self.name, "title": self.title, **_without(data)}
        directions = dict(data.pop("directions", {}))
        for section, parts in halves_of(self.parts):
            described = {**parts[0].settings, "file": self._file_of(section)}
            if section.startswith("directions."):
                directions[section.removeprefix("directions.")] = described
            else:
                data[section] = described
        old = self.base.spec.sha256 if self.base is not None else {}
        kept = {file: digest for file, digest in old.items() if file in self._kept_files}
        return {
            **data,
            "directions": directions,
            **self._terms(),
            "made_by": self._made_by(),
            "sha256": {**kept, **made},
        }

    def _terms(self) -> dict[str, Any]:
        """Licences by part, and of the whole."""
        old = self.base.terms() if self.base is not None else {}
        said = dict(self.base.data.get("licences", {})) if self.base is not None else {}
        for name, (licence, use) in old.items():
            said.setdefault(name, {"licence": licence, "commercial_use": use})
        for section, rows in _by_part(self.statements):
            shared = any(part.section == section and not part.kind for part in self.parts)
            said[section] = _licence_of(rows, old.get(section) if shared else None)
        whole = licences.strictest((each["licence"], each["commercial_use"]) for each in said.values())
        return {"licence": whole.licence, "commercial_use": whole.commercial_use, "licences": said}

    def _made_by(self) -> dict[str, Any]:
        old = dict(self.base.spec.made_by) if self.base is not None else {}
        converted = old.get("tool") == TOOL
        # What an old half came from stays told.
        replaced = {part.section for part in self.parts if part.kind} - {
            part.section for part in self.parts if not part.kind
        }
        kept = [each for each in old.get("sources", ()) if each["part"] not in replaced] if converted else []
        before = old.get("before") if converted else old
        sources = [*kept, *(_source(part) for part in self.parts if part.kind)]
        told = {"tool": TOOL, "version": __version__, "sources": sources}
        return {**told, "before": before} if before else told


def _source(part: Part) -> dict[str, Any]:
    """Where a part came from, for pack.json."""
    told = {"part": part.section, "what": part.what, "file": part.source.name, "sha256": part.sha256}
    return {**told, "notes": list(part.notes)} if part.notes else told


def plan(
    sources: Sequence[str | Path],
    *,
    name: str | None = None,
    out: str | Path | None = None,
    into: str | Path | None = None,
    title: str = "",
    licence: Sequence[str] = (),
    commercial: Sequence[str] = (),
    scale: float | None = None,
    search: Sequence[Path] = (),
) -> Conversion:
    """Read, recognise and check all files; write nothing. See `convert`."""
    found = read_sources(sources)
    finders = tuple(part for part in found if part.name.startswith(FINDER))
    rest = [part for part in found if not part.name.startswith(FINDER)]
    base = Base.open(into, search=search) if into is not None else None
    parts, notes = chosen(rest, base) if rest else ([], [])
    parts = [_scaled(part, scale) for part in parts]
    folder, name = _place(name, out, base) if rest else (Path(), name or "")
    brought = [part for part in (*parts, *finders) if part.kind]
    names = [part.section for part in brought]
    return Conversion(
        name,
        folder,
        title or (base.spec.title if base is not None else "") or name,
        tuple(parts),
        finders,
        tuple(
            licences.statements(
                brought,
                licence=licences.overrides(licence, names, option="--licence"),
                commercial=licences.overrides(commercial, names, option="--commercial"),
            )
        ),
        (*notes, *(f"{part.source.name}: {note}" for part in brought for note in part.notes)),
        base,
        base is not None and folder.resolve() == base.folder.resolve(),
    )


def _place(name: str | None, out: str | Path | None, base: Base | None) -> tuple[Path, str]:
    """Where the pack goes, and its name. Raises OutputError where that is taken or the engine's own."""
    if base is not None and out is None and name in (None, base.spec.name):
        folder, name = base.folder, base.spec.name
    else:
        name = _checked_name(name or (base.spec.name if base is not None else None))
        folder = (own_folder() if out is None else Path(out)) / name
    if folder.resolve().is_relative_to(HERE.resolve()):
        raise OutputError(
            "came with the engine and is never changed",
            where=folder,
            hint="Give the copy a name of its own with --name",
        )
    refuse_existing(folder, replace=base is not None and folder.resolve() == base.folder.resolve())
    return folder, name


def _checked_name(name: str | None) -> str:
    from pydantic import TypeAdapter, ValidationError

    if name is None:
        raise JobFieldError("--name is missing", hint="Give the pack a name: --name ffhq")
    try:
        checked: str = TypeAdapter(Name).validate_python(name)
    except ValidationError:
        hint = "Letters, digits, dot, dash and underscore; a letter or digit first"
        raise JobFieldError(f"--name {name!r} is no name for a pack", hint=hint) from None
    return checked


def _scaled(part: Part, scale: float | None) -> Part:
    """The part with the user's own strength of its directions."""
    if scale is None or part.kind not in ("direction", "transformer"):
        return part
    return replace(part, settings={**part.settings, "scale": scale})


def _tensors(section: str, parts: Sequence[Part]) -> dict[str, Weight]:
    """A file's tensors; a direction's bear its name."""
    prefix = section.removeprefix("directions.") if section.startswith("directions.") else ""
    merged = {f"{prefix}{key}": weight for part in parts for key, weight in part.weights.items()}
    if not merged:
        raise PackSourceError(f"holds nothing for {section}", where=parts[0].source)
    return merged


def _by_part(rows: Sequence[Statement]) -> list[tuple[str, list[Statement]]]:
    names = dict.fromkeys(row.part for row in rows if not row.part.startswith(FINDER.rstrip(".")))
    return [(name, [row for row in rows if row.part == name]) for name in names]


def _licence_of(rows: Sequence[Statement], old: tuple[str, str] | None) -> dict[str, str]:
    """One entry for a part, which may come from two files, or in one half from the old pack."""
    said = [*([old] if old is not None else []), *((row.licence, row.commercial_use) for row in rows)]
    terms = licences.strictest(said)
    return {
        "licence": licences.joined(licence for licence, _ in said),
        "commercial_use": terms.commercial_use,
        "source": " + ".join(dict.fromkeys(row.file for row in rows)),
        "source_sha256": rows[0].sha256,
    }


_OWN = ("schema", "name", "title", "licence", "commercial_use", "licences", "made_by", "sha256")


def _without(data: Mapping[str, Any]) -> dict[str, Any]:
    """An old pack.json without what is written anew."""
    return {key: value for key, value in data.items() if key not in _OWN}
