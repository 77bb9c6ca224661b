"""Fetch packs and public model files, from an index or from one address. Never part of a run.

A pack is put together in a hidden folder beside its place, verified, and renamed; so it is there whole or not
at all. Model files go to a folder of their own and wait there for `stit packs convert`. What is there and
whole is not fetched again; what was broken off goes on where it was.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import quote, unquote, urljoin, urlsplit

from stit_vfx.atomic import storage_error
from stit_vfx.errors import JobError, PackFetchError, PackLicenceError
from stit_vfx.events import Cancel, Reporter
from stit_vfx.packs import index as indexes
from stit_vfx.packs import schema
from stit_vfx.packs.index import (
    Kind,
    ModelOffer,
    OfferedFile,
    PackIndex,
    PackOffer,
    check_file_name,
    parse_index,
)
from stit_vfx.packs.registry import file_digest, own_folder, verify_pack
from stit_vfx.packs.schema import read_spec
from stit_vfx.packs.transfer import Wanted, copy_file, download, require_space
from stit_vfx.packs.web import Manners, check_step, check_url, is_web, read_small, size_of

Offer = PackOffer | ModelOffer


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """An index that was read. `base`: what its relative addresses start from."""

    index: PackIndex
    base: str | Path


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a person agrees to before the first byte. `source`: where it comes from."""

    title: str
    licence: str
    licence_text: str
    licence_url: str | None
    commercial_use: str
    note: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Order:
    """One thing to fetch. `folder`: where its files will lie, which is a pack's own folder.

    `part`: what of a pack the files of a model become, where the index says so.
    """

    kind: Literal["pack", "model", "file"]
    name: str
    terms: Terms
    files: tuple[Wanted, ...]
    folder: Path
    part: Kind | None = None

    @property
    def size_bytes(self) -> int | None:
        """All files together; None where the server does not say."""
        sizes = [file.size_bytes for file in self.files]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def step_of(self, file: Wanted) -> str:
        """The file's name in progress reports."""
        return file.name if self.kind == "file" else f"{self.name}/{file.name}"


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What is there now. `fresh` is False where all of it was there before."""

    order: Order
    sha256: dict[str, str]
    fresh: bool

    @property
    def paths(self) -> list[Path]:
        return [self.order.folder / file.name for file in self.order.files]


def open_index(address: str, *, manners: Manners | None = None, cancel: Cancel | None = None) -> Catalogue:
    """Read an index: an http(s) address, a file, or a folder with an index.json.

    Raises PackFetchError or TransientError where it is not to be had, PackFormatError or PackNewerError where
    it is none.
    """
    if is_web(address):
        data, base = read_small(
            address,
            limit=indexes.MAX_BYTES,
            manners=manners or Manners(),
            idle=(cancel or Cancel()).check,
        )
        return Catalogue(index=parse_index(data, where=address), base=base)
    path = Path(address)
    path = path / indexes.FILE if path.is_dir() else path
    try:
        with path.open("rb") as file:
            data = file.read(indexes.MAX_BYTES + 1)
    except OSError as error:
        hint = "Give the http(s) address of an index, or its file"
        raise PackFetchError(
            f"the pack index cannot be read: {error.strerror}", where=path, hint=hint
        ) from None
    if len(data) > indexes.MAX_BYTES:
        raise PackFetchError(f"is larger than {indexes.MAX_BYTES} bytes", where=path)
    return Catalogue(index=parse_index(data, where=path), base=path.parent)


def order_offer(
    catalogue: Catalogue, name: str, *, to: Path | None = None, offline: Path | None = None
) -> Order:
    """What has to be done for one name of an index. Nothing is fetched yet.

    to       folder that gets it; None: the user's packs folder, for models `downloads` beside it
    offline  take the files from this folder, by name, and use no network
    """
    offer = _find(catalogue, name)
    files = tuple(
        Wanted(
            name=file.name,
            address=_place(catalogue, offer, file) if offline is None else _in_folder(offline, offer, file),
            sha256=file.sha256,
            size_bytes=file.size,
        )
        for file in offer.files
    )
    source = str(catalogue.base if offline is None else offline)
    told = offer.model_dump(
        include={"title", "licence", "licence_text", "licence_url", "commercial_use", "note"}
    )
    terms = Terms(**told, source=source)
    if isinstance(offer, PackOffer):
        folder = (to or own_folder()) / offer.name
        return Order(kind="pack", name=offer.name, terms=terms, files=files, folder=folder)
    folder = (to or downloads_folder()) / offer.name
    return Order(kind="model", name=offer.name, terms=terms, files=files, folder=folder, part=offer.kind)


def order_address(
    url: str,
    *,
    sha256: str | None,
    to: Path | None = None,
    offline: Path | None = None,
    manners: Manners | None = None,
) -> Order:
    """What has to be done for one file of an address, about whose licence nothing is known.

    sha256 None: whatever comes is taken, and its sum told.
    """
    if sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", sha256 := sha256.strip().lower()):
        raise JobError("--sha256 takes 64 hexadecimal digits", hint="sha256sum FILE prints them")
    name = _name_in(url)
    address: str | Path = check_url(url) if offline is None else offline / name
    if isinstance(address, Path):
        size = address.stat().st_size if address.is_file() else None
    else:
        size = size_of(address, manners=manners or Manners())
    unknown = "not known: an address alone does not say it"
    terms = Terms(
        title="",
        licence=unknown,
        licence_text="",
        licence_url=None,
        commercial_use="unknown",
        note="",
        source=str(address),
    )
    file = Wanted(name=name, address=address, sha256=sha256, size_bytes=size)
    return Order(kind="file", name=name, terms=terms, files=(file,), folder=to or downloads_folder())


def downloads_folder() -> Path:
    """Where model files wait for `stit packs convert`: beside the user's packs."""
    return own_folder().parent / "downloads"


def is_whole(order: Order) -> bool:
    """Whether every file is in its place, byte for byte."""
    return all(_is(order.folder / file.name, file.sha256) for file in order.files)


def fetch(
    order: Order,
    *,
    accepted: bool,
    replace: bool = False,
    manners: Manners | None = None,
    reporter: Reporter | None = None,
    cancel: Cancel | None = None,
) -> Fetched:
    """Get what was ordered.

    accepted  the terms in `order.terms` were; if not, PackLicenceError, and no byte moves
    replace   another version that is there may go
    Raises PackFetchError, TransientError, DiskFullError, ReadOnlyError, CancelledError; what came so far
    stays for the next call.
    """
    if is_whole(order):
        return _fetched(order, fresh=False)
    if not accepted:
        hint = "Read them, then say --accept-licence"
        raise PackLicenceError(f"the terms of {order.name} were not accepted", hint=hint)
    _refuse_other(order, replace=replace)
    porter = _Porter(order, manners or Manners(), reporter or Reporter(), cancel or Cancel())
    try:
        if order.kind == "pack":
            _assemble(order, porter)
        else:
            porter.make_room(order.folder)
            porter.bring(order.folder, order.files)
    except OSError as error:
        raise storage_error(error, where=error.filename or order.folder) from None
    return _fetched(order, fresh=True)


@dataclass(frozen=True)
class _Porter:
    """Brings the files of an order to a folder."""

    order: Order
    manners: Manners
    reporter: Reporter
    cancel: Cancel

    def make_room(self, folder: Path) -> None:
        """Raise DiskFullError where what is missing does not fit."""
        sizes = ((file.size_bytes or 0) - _held(folder, file) for file in self.order.files)
        require_space(folder, sum(sizes))

    def bring(self, folder: Path, files: Iterable[Wanted]) -> None:
        """Those that are there stay; of an older version, what is the same is copied."""
        for file in files:
            step = self.order.step_of(file)
            if _is(folder / file.name, file.sha256):
                self.reporter.stage(step, "skip")
                continue
            self.reporter.stage(step, "start")
            self._bring_one(file, folder)
            self.reporter.stage(step, "done")

    def _bring_one(self, file: Wanted, folder: Path) -> None:
        def watch(done: int, total: int | None) -> None:
            self.cancel.check()
            if total:
                total_mb = max(1, round(total / 1e6))
                self.reporter.progress(self.order.step_of(file), done * total_mb // total, total_mb)

        here = self.order.folder / file.name
        if folder != self.order.folder and _is(here, file.sha256):
            copy_file(Wanted(name=file.name, address=here, sha256=file.sha256), folder, watch=watch)
        elif isinstance(file.address, Path):
            copy_file(file, folder, watch=watch)
        else:
            download(file, folder, manners=self.manners, watch=watch)


def _assemble(order: Order, porter: _Porter) -> None:
    """The pack in a hidden folder; then, when every byte is as its pack.json says, under its name."""
    building = order.folder.with_name(f".fetch-{order.name}")
    porter.make_room(building)
    porter.bring(building, (file for file in order.files if file.name == schema.FILE))
    _check_description(order, building)
    porter.bring(building, (file for file in order.files if file.name != schema.FILE))
    _remove_others(order, building)
    if problems := verify_pack(building):
        raise PackFetchError(
            problems[0], where=building, hint="The index offers a damaged pack: tell who made it"
        )
    _put_in_place(order, building)


def _check_description(order: Order, folder: Path) -> None:
    """Before the large files: pack.json is what was agreed to, and goes with the files of the index."""
    spec = read_spec(folder)
    told = (spec.name, spec.licence, spec.commercial_use)
    if told != (order.name, order.terms.licence, order.terms.commercial_use):
        problem = (
            f"its pack.json says {spec.name!r}, {spec.licence!r}, commercial use {spec.commercial_use}; "
            "the index says something else"
        )
        raise PackFetchError(problem, where=order.name, hint="Tell whoever made the index")
    weights = {file.name: file.sha256 for file in order.files if file.name.endswith(".safetensors")}
    if weights != dict(spec.sha256):
        name = min(set(weights.items()) ^ set(spec.sha256.items()), key=str)[0]
        hint = "Tell whoever made the index"
        raise PackFetchError(f"pack.json and the index do not agree on {name}", where=order.name, hint=hint)


def _put_in_place(order: Order, building: Path) -> None:
    if not order.folder.exists():
        os.replace(building, order.folder)
    elif is_whole(order):
        # Somebody else has fetched it meanwhile.
        shutil.rmtree(building, ignore_errors=True)
    else:
        old = order.folder.with_name(f".old-{order.name}-{os.getpid()}")
        os.replace(order.folder, old)
        try:
            os.replace(building, order.folder)
        except OSError:
            os.replace(old, order.folder)
            raise
        shutil.rmtree(old, ignore_errors=True)


def _remove_others(order: Order, folder: Path) -> None:
    """What an earlier try at another version left behind."""
    names = {file.name for file in order.files}
    for path in folder.iterdir():
        if path.name not in names:
            path.unlink()


def _refuse_other(order: Order, *, replace: bool) -> None:
    """Nothing that is there is written over unasked, except a damaged copy of the very same."""
    if order.kind == "pack" and order.folder.exists():
        description = order.folder / schema.FILE
        if not description.is_file():
            hint = "Move it away, or choose another folder with --to"
            raise PackFetchError("is there, and is no pack", where=order.folder, hint=hint)
        same = any(_is(description, file.sha256) for file in order.files if file.name == schema.FILE)
        others = [] if same else [order.folder]
    elif order.kind == "pack":
        others = []
    else:
        others = [path for path in _differing(order) if path.exists()]
    if others and not replace:
        hint = "Say --replace, or choose another folder with --to"
        raise PackFetchError("is there already, and is another version", where=others[0], hint=hint)


def _differing(order: Order) -> Iterator[Path]:
    for file in order.files:
        if not _is(order.folder / file.name, file.sha256):
            yield order.folder / file.name


def _fetched(order: Order, *, fresh: bool) -> Fetched:
    sums = {file.name: file.sha256 or file_digest(order.folder / file.name) for file in order.files}
    return Fetched(order=order, sha256=sums, fresh=fresh)


def _is(path: Path, sha256: str | None) -> bool:
    try:
        return sha256 is not None and path.is_file() and file_digest(path) == sha256
    except OSError:
        return False


def _held(folder: Path, file: Wanted) -> int:
    """Bytes that an earlier call left, whole or as a part, which need no room any more."""
    for name in (file.name, file.name + indexes.PART_ENDINGS[0]):
        try:
            return min((folder / name).stat().st_size, file.size_bytes or 0)
        except OSError:
            continue
    return 0


def _find(catalogue: Catalogue, name: str) -> Offer:
    offers = {offer.name: offer for offer in catalogue.index.offers}
    if name in offers:
        return offers[name]
    close = get_close_matches(name, offers, n=1)
    listing = f"It offers {', '.join(offers) or 'nothing'}"
    hint = f"Did you mean {close[0]}? {listing}" if close else listing
    raise PackFetchError(f"does not offer {name!r}", where=str(catalogue.base), hint=hint)


def _place(catalogue: Catalogue, offer: Offer, file: OfferedFile) -> str | Path:
    """Where a file of an index lies."""
    told = file.url if file.url is not None else quote(file.name)
    if isinstance(catalogue.base, Path):
        return check_url(told) if is_web(told) else catalogue.base / unquote(told)
    url = urljoin(catalogue.base, told)
    check_step(catalogue.base, url)
    return check_url(url)


def _in_folder(folder: Path, offer: Offer, file: OfferedFile) -> Path:
    """A file that somebody carried here: below the offer's name, where its address says, or loose."""
    places = [folder / offer.name / file.name, folder / file.name]
    if file.url is not None and not is_web(file.url):
        places.insert(0, folder / unquote(file.url))
    for path in places:
        if path.is_file():
            return path
    raise PackFetchError(f"has no {offer.name}/{file.name}", where=folder, hint="Copy it there")


def _name_in(url: str) -> str:
    """The file's name in an address."""
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    try:
        return check_file_name(name)
    except ValueError:
        hint = "Fetch it in a browser; stit packs convert takes any file"
        raise PackFetchError(
            "names no file that could be kept under its name", where=url, hint=hint
        ) from None
