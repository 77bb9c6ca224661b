"""`stit packs fetch` and `stit packs index`: packs from a server or a carried folder, and their index."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from stit_vfx.cli.common import FOLDER, show, stream_options
from stit_vfx.cli.session import Session, open_session
from stit_vfx.errors import CancelledError, JobError, PackFetchError, PackLicenceError

if TYPE_CHECKING:
    from stit_vfx.packs.fetch import Catalogue, Fetched, Order
    from stit_vfx.packs.web import Manners

_READABLE = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command("fetch", short_help="Fetch packs and model files, checked and resumed.")
@click.argument("what", nargs=-1, metavar="[NAME|ADDRESS]...")
@click.option("--index", envvar="STIT_PACK_INDEX", help="Pack index: an http(s) address, or a file.")
@click.option("--list", "as_list", is_flag=True, help="List what the index offers, and fetch nothing.")
@click.option("--to", type=FOLDER, help="Folder that gets it (default: your packs; models: downloads).")
@click.option("--sha256", metavar="HEX", help="Sum of the file at ADDRESS.")
@click.option("--allow-unknown-hash", is_flag=True, help="Take what comes from ADDRESS, and tell its sum.")
@click.option(
    "--accept-licence", "--accept-license", "accept", is_flag=True, help="Agree without a question."
)
@click.option("--offline", type=_READABLE, help="Take the files from this folder; use no network.")
@click.option("--replace", is_flag=True, help="Replace another version that is there.")
@click.option(
    "--tries", type=click.IntRange(1, 1000), default=6, show_default=True, help="Before it gives up."
)
@click.option("--timeout", type=click.FloatRange(min=0.1), default=30, show_default=True, metavar="S")
@click.option(
    "--max-size",
    type=click.FloatRange(min=0.001),
    default=20,
    show_default=True,
    metavar="GB",
    help="Of a file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result, or the list, as JSON on stdout.")
@stream_options
def fetch(what: tuple[str, ...], index: str | None, **words: Any) -> int:
    """Fetch packs and model files by NAME from a pack index, or one file from an ADDRESS.

    \b
    stit packs fetch --index https://packs.studio.example/index.json --list
    stit packs fetch ffhq-1024 --index https://packs.studio.example/index.json
    stit packs fetch https://host.example/model.pkl --sha256 61ab...e0

    Licence, commercial use and size are shown first. Broken off, the same command goes on where it was. A
    file gets its name only when its sha256 is right. Without --index, the index is $STIT_PACK_INDEX.
    """
    session = open_session(
        words["events"], job=None, control=words["control"], heartbeat_s=words["heartbeat"]
    )
    with _stop_at_once(session):
        manners = _manners(words)
        catalogue = _catalogue(what, index, words, manners, session)
        if words["as_list"]:
            _list(_required(catalogue), as_json=words["as_json"])
            return 0
        orders = _orders(what, catalogue, words, manners)
        _agree(orders, session, accept=words["accept"])
        done = _fetch_all(orders, session, manners, replace=words["replace"])
    _tell(done, session, as_json=words["as_json"])
    return 0


@click.command("index", short_help="Print an index of a folder of packs.")
@click.argument("folder", type=_READABLE)
@click.option("--base-url", default="", help="Where the folder will be found (default: beside the index).")
@click.option("--title", default="", help="Whose packs these are.")
def index(folder: Path, base_url: str, title: str) -> None:
    """Verify the packs in FOLDER and print an index of them, for others to fetch from.

    \b
    stit packs index /srv/packs > /srv/packs/index.json
    """
    from stit_vfx.packs.index import make_index
    from stit_vfx.packs.web import check_url

    if base_url:
        check_url(base_url)
    show(make_index(folder, title=title, base_url=base_url), "", as_json=True)


def _manners(words: dict[str, Any]) -> Manners:
    from stit_vfx.packs.web import Manners

    return Manners(
        tries=words["tries"], timeout_s=words["timeout"], max_bytes=round(words["max_size"] * 1_000_000_000)
    )


def _catalogue(
    what: tuple[str, ...], index: str | None, words: dict[str, Any], manners: Manners, session: Session
) -> Catalogue | None:
    """The index, if anything asks for one. Offline it is a file: the one named, or that of the folder."""
    from stit_vfx.packs.fetch import open_index
    from stit_vfx.packs.web import is_web

    if what and all(is_web(word) for word in what) and not words["as_list"]:
        return None
    offline = words["offline"]
    if offline is not None and (index is None or is_web(index)):
        index = str(offline)
    if index is None:
        return None
    if index.lower().startswith("http:"):
        session.reporter.log("info", "The index comes over http: whoever is on the way could change it.")
    return open_index(index, manners=manners, cancel=session.cancel)


def _required(catalogue: Catalogue | None) -> Catalogue:
    if catalogue is None:
        raise JobError("no pack index", hint="Give --index ADDRESS, or set STIT_PACK_INDEX")
    return catalogue


def _orders(
    what: tuple[str, ...], catalogue: Catalogue | None, words: dict[str, Any], manners: Manners
) -> list[Order]:
    from stit_vfx.packs.fetch import order_address, order_offer
    from stit_vfx.packs.web import is_web

    if not what:
        raise JobError("nothing to fetch", hint="Give a name of the index; --list shows them")
    addresses = [word for word in what if is_web(word)]
    _check_sum_words(addresses, words)
    common = {"to": words["to"], "offline": words["offline"]}
    return [
        order_address(word, sha256=words["sha256"], manners=manners, **common)
        if word in addresses
        else order_offer(_required(catalogue), word, **common)
        for word in dict.fromkeys(what)
    ]


def _check_sum_words(addresses: list[str], words: dict[str, Any]) -> None:
    if words["sha256"] is not None and len(addresses) != 1:
        raise JobError("--sha256 is of the file at one ADDRESS", hint="An index has the sums of its files")
    if addresses and words["sha256"] is None and not words["allow_unknown_hash"]:
        hint = "Give --sha256, from where the file is published; or --allow-unknown-hash. An index: --index"
        raise PackFetchError("the file's sha256 is not known", where=addresses[0], hint=hint)


def _agree(orders: list[Order], session: Session, *, accept: bool) -> None:
    """Show the terms of everything that will be fetched, and ask once for each."""
    from stit_vfx.packs.fetch import is_whole

    for order in orders:
        if is_whole(order):
            continue
        for line in _terms(order):
            session.reporter.log("info", line)
        if not accept:
            _ask(order, session)
        if order.terms.commercial_use != "yes":
            told = f"{order.name} is not known to be free for commercial use"
            session.reporter.warn("STIT-W201", told)


def _ask(order: Order, session: Session) -> None:
    hint = "Read them, then say --accept-licence"
    if session.reporter.form != "text" or not _has_terminal():
        raise PackLicenceError(f"the terms of {order.name} are not accepted", hint=hint)
    if not click.confirm(f"Accept the terms of {order.name}?", err=True):
        raise PackLicenceError(f"the terms of {order.name} were not accepted", hint=hint)


def _has_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _terms(order: Order) -> Iterator[str]:
    from stit_vfx.packs.transfer import as_size

    terms, size = order.terms, order.size_bytes
    count = f"{len(order.files)} file" + ("s" if len(order.files) > 1 else "")
    yield f"{order.name}: {terms.title}" if terms.title else order.name
    yield f"licence: {terms.licence}"
    yield f"commercial use: {terms.commercial_use}"
    yield f"size: {as_size(size) if size is not None else 'not known'}, {count}"
    yield f"from: {terms.source}"
    yield f"to: {order.folder}"
    if terms.licence_url:
        yield f"terms: {terms.licence_url}"
    yield from f"{terms.note}\n{terms.licence_text}".strip().splitlines()


def _fetch_all(orders: list[Order], session: Session, manners: Manners, *, replace: bool) -> list[Fetched]:
    from stit_vfx.packs.fetch import fetch

    session.reporter.plan(
        {order.step_of(file): file.size_bytes or 1 for order in orders for file in order.files}
    )
    return [
        fetch(
            order,
            accepted=True,
            replace=replace,
            manners=manners,
            reporter=session.reporter,
            cancel=session.cancel,
        )
        for order in orders
    ]


def _tell(done: list[Fetched], session: Session, *, as_json: bool) -> None:
    outputs = [{"kind": each.order.kind, "path": str(_path(each))} for each in done]
    session.reporter.result(outputs, notes=[line for each in done for line in _notes(each)])
    if as_json:
        show([_as_json(each) for each in done], "", as_json=True)


def _path(fetched: Fetched) -> Path:
    return fetched.paths[0] if fetched.order.kind == "file" else fetched.order.folder


def _notes(fetched: Fetched) -> Iterator[str]:
    order = fetched.order
    if not fetched.fresh:
        yield f"{order.name} was there already, and is whole."
    if order.files[0].sha256 is None:
        yield f"sha256 of {order.name}: {fetched.sha256[order.name]}"
    if order.kind == "pack":
        yield f"Next: stit packs show {shlex.quote(_pack_words(order))}"
    else:
        yield f"Next: {_convert_line(fetched)}"


def _pack_words(order: Order) -> str:
    """How to name it: where packs are not looked for, by its folder."""
    from stit_vfx.packs.registry import search_folders

    return order.name if order.folder.parent in search_folders() else str(order.folder)


def _convert_line(fetched: Fetched) -> str:
    """What makes a pack of it; a part alone, such as an encoder, is added to one."""
    order, paths = fetched.order, [str(path) for path in fetched.paths]
    if order.part == "fan":
        return shlex.join(["stit", "packs", "convert", "fan", *paths])
    makes_a_pack = order.part in (None, "generator")
    into = ["--name", order.name.partition(".")[0]] if makes_a_pack else ["--into", "PACK"]
    words = ["stit", "packs", "convert", *paths, *into]
    if order.kind == "model":
        words += ["--licence", order.terms.licence, "--commercial", order.terms.commercial_use]
    return shlex.join(words)


def _as_json(fetched: Fetched) -> dict[str, Any]:
    order = fetched.order
    told = {"name": order.name, "kind": order.kind, "path": str(_path(fetched)), "fresh": fetched.fresh}
    terms = {"licence": order.terms.licence, "commercial_use": order.terms.commercial_use}
    return {**told, **terms, "size": order.size_bytes, "sha256": fetched.sha256}


def _list(catalogue: Catalogue, *, as_json: bool) -> None:
    from stit_vfx.packs.index import PackOffer
    from stit_vfx.packs.transfer import as_size

    rows = [("name", "kind", "size", "commercial", "licence")]
    for offer in catalogue.index.offers:
        kind = "pack" if isinstance(offer, PackOffer) else "model"
        rows.append((offer.name, kind, as_size(offer.size_bytes), offer.commercial_use, offer.licence))
    widths = [max(len(row[n]) for row in rows) for n in range(4)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]])
        for row in rows
    ]
    show(catalogue.index.model_dump(mode="json", by_alias=True), "\n".join(lines), as_json=as_json)


@contextmanager
def _stop_at_once(session: Session) -> Iterator[None]:
    """A flag is heard between two steps of a network; a socket may be silent for half a minute."""
    reasons = {signal.SIGINT: "sigint", signal.SIGTERM: "sigterm"}

    def stop(number: int, _frame: FrameType | None) -> None:
        session.cancel.request(reasons[signal.Signals(number)])
        raise CancelledError("stopped; the same command goes on where it was")

    before = {number: signal.signal(number, stop) for number in reasons}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
