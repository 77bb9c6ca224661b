"""Which packs there are on this machine, and whether they are whole.

Searched in this order, the first of a name wins: folders given by the user (`--pack-path`), $STIT_PACK_PATH,
the user's data folder, the packs that come with the engine. A folder in that list may be a pack itself or
hold packs. Nothing is downloaded.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

import platformdirs

from stit_vfx.errors import PackDamagedError, PackError, PackMissingError
from stit_vfx.packs.schema import FILE, NAME_PATTERN, PackSpec, read_spec

HERE = Path(__file__).parent
VARIABLE = "STIT_PACK_PATH"
# Files are hashed side by side; more threads than this only wait for the disk.
MOST_THREADS = 8


@dataclass(frozen=True)
class PackEntry:
    """A pack as `stit packs list` shows it.

    problem  why its pack.json cannot be used, if so
    hides    folders of packs of the same name that come later in the search
    """

    name: str
    title: str
    licence: str
    folder: Path
    problem: str = ""
    commercial_use: str = "unknown"
    hides: tuple[Path, ...] = ()

    def __str__(self) -> str:
        if self.problem:
            return f"cannot be used ({self.folder})"
        terms = f"{self.licence}; commercial use: {self.commercial_use}"
        return f"{self.title or self.name}, {terms} ({self.folder})"


def list_packs(*, search: Sequence[Path] = ()) -> list[PackEntry]:
    """All packs in search order; of two with one name only the first, which is the one that is used."""
    found: dict[str, PackEntry] = {}
    for folder in pack_folders(search_folders(search)):
        entry = _entry(folder)
        first = found.setdefault(entry.name, entry)
        if first.folder.resolve() != folder.resolve():
            found[entry.name] = replace(first, hides=(*first.hides, folder))
    return list(found.values())


def search_folders(search: Sequence[Path] = ()) -> list[Path]:
    """Where packs are looked for, in order."""
    named = [Path(part) for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    return [*(Path(folder) for folder in search), *named, own_folder(), HERE]


def absent_folders(search: Sequence[Path] = ()) -> list[Path]:
    """Folders that somebody named and that are not there, such as a share that is not mounted."""
    return [folder for folder in search_folders(search)[:-2] if not folder.is_dir()]


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
        hint = _instead(text, list(packs), absent_folders(search))
        raise PackMissingError(f"no pack named {text!r} on this machine", hint=hint)
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
    names = sorted(spec.sha256)
    with ThreadPoolExecutor(max(1, min(len(names), os.cpu_count() or 1, MOST_THREADS))) as pool:
        for problem in pool.map(lambda name: _problem(folder / name, spec.sha256[name]), names):
            if problem:
                yield problem


def _problem(path: Path, recorded: str) -> str:
    try:
        return "" if file_digest(path) == recorded else not_recorded(path.name)
    except FileNotFoundError:
        return f"{path.name} is missing"
    except OSError as error:
        return f"{path.name} cannot be read: {error}"


def not_recorded(name: str) -> str:
    """The words for a file whose sum is another than the pack's."""
    return f"{name} is not the file that was recorded (sha256 differs)"


def file_digest(path: Path) -> str:
    """sha256 of a file, read anew every time: a size and a time say nothing of the bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pack_folders(folders: Iterable[Path]) -> Iterator[Path]:
    """Folders that have a pack.json: those given, or what lies in them. Names that begin with a dot are none,
    since packs are put together under such names."""
    for folder in folders:
        if _is_pack(folder):
            yield folder
        elif folder.is_dir():
            inside = (each for each in folder.iterdir() if not each.name.startswith("."))
            yield from sorted(each for each in inside if _is_pack(each))


def _is_pack(folder: Path) -> bool:
    """One that may not be looked into counts too, if its name is a pack's: the list says what is wrong."""
    try:
        return (folder / FILE).is_file()
    except PermissionError:
        return re.fullmatch(NAME_PATTERN, folder.name) is not None


def _entry(folder: Path) -> PackEntry:
    try:
        spec = read_spec(folder)
    except PackError as error:
        return PackEntry(folder.name, "", "unknown", folder, str(error))
    return PackEntry(spec.name, spec.title, spec.licence, folder, commercial_use=spec.commercial_use)


def _instead(name: str, known: list[str], absent: list[Path]) -> str:
    listing = f"There is {', '.join(known)}" if known else f"Put one in {own_folder()}"
    if absent:
        listing += f". Not there: {', '.join(map(str, absent))}"
    close = get_close_matches(name, known, n=1)
    return f"Did you mean {close[0]}? {listing}" if close else listing
