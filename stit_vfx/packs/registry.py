"""Which packs there are on this machine, and whether they are whole.

Searched in this order, the first of a name wins: folders given by the user (`--pack-path`), $STIT_PACK_PATH,
the user's data folder, the packs that come with the engine. A folder in that list may be a pack itself or
hold packs. Nothing is downloaded.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path

import platformdirs

from stit_vfx.errors import PackDamagedError, PackError, PackMissingError
from stit_vfx.packs.schema import FILE, PackSpec, read_spec

HERE = Path(__file__).parent
VARIABLE = "STIT_PACK_PATH"


@dataclass(frozen=True)
class PackEntry:
    """A pack as `stit packs list` shows it. `problem` says why its pack.json cannot be used, if so."""

    name: str
    title: str
    licence: str
    folder: Path
    problem: str = ""

    def __str__(self) -> str:
        return f"{self.title or self.name}, {self.licence} ({self.folder})"


def list_packs(*, search: Sequence[Path] = ()) -> list[PackEntry]:
    """All packs in search order; of two with one name only the first, which is the one that is used."""
    found: dict[str, PackEntry] = {}
    for folder in pack_folders(search_folders(search)):
        entry = _entry(folder)
        found.setdefault(entry.name, entry)
    return list(found.values())


def search_folders(search: Sequence[Path] = ()) -> list[Path]:
    """Where packs are looked for, in order."""
    named = [Path(part) for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    return [*(Path(folder) for folder in search), *named, own_folder(), HERE]


def own_folder() -> Path:
    """Where the packs of this user lie."""
    return platformdirs.user_data_path("stit_vfx", appauthor=False) / "packs"


def find_pack(name: str | Path, *, search: Sequence[Path] = ()) -> Path:
    """The folder of a pack, by name or by path. Raises PackMissingError with what there is instead."""
    text = str(name)
    if os.sep in text or "/" in text or (Path(text) / FILE).is_file():
        if not (Path(text) / FILE).is_file():
            raise PackMissingError("is no pack: it has no pack.json", where=text)
        return Path(text)
    packs = {entry.name: entry for entry in list_packs(search=search)}
    if text not in packs:
        raise PackMissingError(f"no pack named {text!r} on this machine", hint=_instead(text, list(packs)))
    return packs[text].folder


def verify_pack(pack: PackEntry | Path) -> list[str]:
    """What is wrong with a pack's files, in words; empty if every byte is as recorded."""
    folder = pack if isinstance(pack, Path) else pack.folder
    try:
        spec = read_spec(folder)
    except PackError as error:
        return [str(error)]
    return list(_problems(folder, spec))


def check_files(folder: Path, spec: PackSpec) -> None:
    """Raise PackDamagedError for the first file that is not the recorded one."""
    for problem in _problems(folder, spec):
        raise PackDamagedError(problem, where=folder, hint="Copy or convert the pack again")


def _problems(folder: Path, spec: PackSpec) -> Iterator[str]:
    for name, recorded in sorted(spec.sha256.items()):
        try:
            if file_digest(folder / name) != recorded:
                yield f"{name} is not the file that was recorded (sha256 differs)"
        except FileNotFoundError:
            yield f"{name} is missing"
        except OSError as error:
            yield f"{name} cannot be read: {error}"


_digests: dict[tuple[str, int, int], str] = {}


def file_digest(path: Path) -> str:
    """sha256 of a file; read once per process as long as its size and time stay."""
    stat = path.stat()
    stamp = (str(path.resolve()), stat.st_size, stat.st_mtime_ns)
    if stamp not in _digests:
        whole = sha256()
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                whole.update(part)
        _digests[stamp] = whole.hexdigest()
    return _digests[stamp]


def pack_folders(folders: Iterable[Path]) -> Iterator[Path]:
    """Folders that have a pack.json: those given, or what lies in them. Names that begin with a dot are none,
    since packs are put together under such names."""
    for folder in folders:
        if (folder / FILE).is_file():
            yield folder
        elif folder.is_dir():
            inside = (each for each in folder.iterdir() if not each.name.startswith("."))
            yield from sorted(each for each in inside if (each / FILE).is_file())


def _entry(folder: Path) -> PackEntry:
    try:
        spec = read_spec(folder)
    except PackError as error:
        return PackEntry(folder.name, "", "unknown", folder, str(error))
    return PackEntry(spec.name, spec.title, spec.licence, folder)


def _instead(name: str, known: list[str]) -> str:
    listing = f"There is {', '.join(known)}" if known else f"Put one in {own_folder()}"
    close = get_close_matches(name, known, n=1)
    return f"Did you mean {close[0]}? {listing}" if close else listing
