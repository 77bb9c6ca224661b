"""One file from a web server to a folder, resumed after whatever broke it off, and checked as a whole.

What has come lies in NAME.part, and NAME.part.json says where it came from. The file gets its name when its
sha256 is the one expected; until then it can be cut off at any moment, and the next call goes on.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import http.client
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from stit_vfx.atomic import atomic_bytes, atomic_write, storage_error
from stit_vfx.errors import DiskFullError, PackFetchError, TransientError
from stit_vfx.packs.index import PART_ENDINGS
from stit_vfx.packs.web import BeyondEndError, Manners, PassingError, blocks, length_of, open_url, persist

_NOTE_MAX_BYTES = 20_000

Watch = Callable[[int, int | None], None]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A file to get. `address`: http(s), or a path. `sha256` or `size_bytes` None: not known beforehand."""

    name: str
    address: str | Path
    sha256: str | None = None
    size_bytes: int | None = None


class Note(BaseModel):
    """What NAME.part.json says: from where the part came, and which file it is a part of."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, populate_by_name=True)

    schema_: Annotated[Literal["stit.part/1"], Field(alias="schema")] = "stit.part/1"
    url: str
    sha256: str | None
    etag: str | None
    modified: str | None
    total: int | None
    pieces: int = 1

    @property
    def validator(self) -> str | None:
        """For If-Range, which takes no weak ETag."""
        strong = self.etag if self.etag and not self.etag.startswith("W/") else None
        return strong or self.modified

    def is_of(self, other: Note) -> bool:
        """Whether both are the same file of the same server, as far as either says.

        Without a sum to tell in the end, both must say it.
        """
        pairs = ((self.etag, other.etag), (self.modified, other.modified), (self.total, other.total))
        told = self.sha256 is not None or self.validator == other.validator
        return told and all(a is None or b is None or a == b for a, b in pairs)


def download(wanted: Wanted, folder: Path, *, manners: Manners, watch: Watch) -> str:
    """Get a file from a web server into `folder`; gives its sha256.

    watch   is called with (bytes held, bytes in all or None) as often as a block comes; may raise to stop
    Raises PackFetchError where the server has another file or none, TransientError after the last try,
    DiskFullError before the first byte where the size is known and there is no room. The part stays, except
    where it is known to be wrong.
    """
    with Part(folder / wanted.name) as part:

        def attempt() -> str:
            _receive(wanted, part, manners, watch)
            return _checked(wanted, part)

        digest = persist(
            attempt,
            manners=manners,
            where=str(wanted.address),
            idle=lambda: watch(part.held, wanted.size_bytes),
            held=lambda: part.held,
        )
        part.publish()
    return digest


def copy_file(wanted: Wanted, folder: Path, *, watch: Watch) -> str:
    """Take a file from a folder, with the same check before it gets its name; gives its sha256."""
    path, digest = Path(wanted.address), hashlib.sha256()
    if not path.is_file() or not os.access(path, os.R_OK):
        raise PackFetchError("is no file that can be read", where=path)
    with path.open("rb") as source:
        total = os.fstat(source.fileno()).st_size

        def write(temporary: Path) -> None:
            with temporary.open("wb") as target:
                while block := source.read(1 << 20):
                    digest.update(block)
                    target.write(block)
                    watch(target.tell(), total)
            _check_digest(wanted, digest.hexdigest())

        _check_size(wanted, total)
        require_space(folder, total)
        atomic_write(folder / wanted.name, write)
    return digest.hexdigest()


def require_space(folder: Path, need_bytes: int) -> None:
    """Raise DiskFullError where that much does not fit. `folder` need not be there yet."""
    place = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    free = shutil.disk_usage(place).free
    if need_bytes > free:
        problem = f"no space for it: {as_size(need_bytes)} are needed, {as_size(free)} are free"
        raise DiskFullError(problem, where=folder, hint="Free some space, or choose another folder with --to")


def as_size(count: int) -> str:
    """`812 B`, `4.1 kB`, `330 MB`, `1.7 GB`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= 0.9995 * size:
            return f"{count / size:.3g} {unit}"
    return f"{count} B"


class Part:
    """The file NAME.part, open and locked; nobody else writes to it meanwhile."""

    def __init__(self, final: Path) -> None:
        self.final = final
        self.path, self._note_path = (final.with_name(final.name + ending) for ending in PART_ENDINGS)
        self.held = 0

    def __enter__(self) -> Self:
        try:
            self.final.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._open()
        except OSError as error:
            raise storage_error(error, where=self.path) from None
        self.held = self._file.seek(0, os.SEEK_END)
        return self

    def __exit__(self, *_: object) -> None:
        with self._file:
            if not self.held:
                self.path.unlink(missing_ok=True)
                self._note_path.unlink(missing_ok=True)

    def _open(self) -> Any:
        while True:
            # No links: in a folder that many may write to, one could lead to a file of somebody else.
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
            file = os.fdopen(descriptor, "r+b", buffering=0)
            _lock(descriptor, self.path, otherwise=file.close)
            # Whoever held the lock may have given the file its name: then it is not the part any more.
            if _is_file(self.path, os.fstat(descriptor)):
                return file
            file.close()

    @property
    def note(self) -> Note | None:
        """What is known of the bytes held; None if that is nothing."""
        try:
            with self._note_path.open("rb") as file:
                return Note.model_validate_json(file.read(_NOTE_MAX_BYTES))
        except (OSError, ValueError):
            return None

    def remember(self, note: Note) -> None:
        """Say of which file the bytes are that are held, and that will come."""
        atomic_bytes(self._note_path, note.model_dump_json(by_alias=True, indent=1).encode())

    def write(self, block: bytes) -> None:
        """Append."""
        rest = memoryview(block)
        try:
            while rest:
                written = self._file.write(rest)
                rest = rest[written:]
                self.held += written
        except OSError as error:
            raise storage_error(error, where=self.path) from None

    def restart(self) -> None:
        """Forget what is held."""
        self._note_path.unlink(missing_ok=True)
        self._file.seek(0)
        self._file.truncate()
        self.held = 0

    def digest(self) -> str:
        """sha256 of all that is held, as it lies on the disk."""
        self._file.seek(0)
        return hashlib.file_digest(self._file, "sha256").hexdigest()

    def publish(self) -> None:
        """Give the file its name."""
        os.fsync(self._file.fileno())
        atomic_write(self.final, lambda temporary: os.replace(self.path, temporary))
        self._note_path.unlink(missing_ok=True)


def _lock(descriptor: int, path: Path, *, otherwise: Callable[[], object]) -> None:
    """Taken by the system from a process that ends, however it ends."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            otherwise()
            hint = "Wait until it is done"
            raise TransientError("is being fetched by another process", where=path, hint=hint) from None
        # A file system without locks: the sum tells if two wrote at the same time.


def _is_file(path: Path, opened: os.stat_result) -> bool:
    try:
        return os.path.samestat(opened, path.stat())
    except FileNotFoundError:
        return False


def _receive(wanted: Wanted, part: Part, manners: Manners, watch: Watch) -> None:
    """Bring the part up to the whole file, with one request."""
    url, note = str(wanted.address), part.note
    if part.held and (note is None or not _may_resume(wanted, note)):
        part.restart()
    if part.held and part.held == wanted.size_bytes:
        return
    headers = _range(url, part.held, note)
    try:
        answer = open_url(url, timeout_s=manners.timeout_s, headers=headers)
    except BeyondEndError as error:
        if not part.held:
            raise PackFetchError("the server refuses to send it (416)", where=url) from None
        if part.held == error.total:
            return
        part.restart()
        raise PassingError("the server's file has become shorter") from None
    with answer:
        total = _begin(wanted, part, answer, manners)
        limit = manners.max_bytes if total is None else total
        for block in blocks(answer, manners=manners):
            if part.held + len(block) > limit:
                part.restart()
                raise PackFetchError(f"the server sends more than {as_size(limit)}", where=url)
            part.write(block)
            watch(part.held, total)
    if total is not None and part.held < total:
        raise PassingError("the connection ended early")


def _may_resume(wanted: Wanted, note: Note) -> bool:
    """Where the sum is known it tells in the end; without it the server must be able to say what changed."""
    if wanted.sha256 is not None:
        return note.sha256 == wanted.sha256
    return note.sha256 is None and note.url == str(wanted.address) and note.validator is not None


def _range(url: str, held: int, note: Note | None) -> dict[str, str]:
    if not held or note is None:
        return {}
    validator = note.validator if note.url == url else None
    return {"Range": f"bytes={held}-", **({"If-Range": validator} if validator else {})}


def _begin(wanted: Wanted, part: Part, answer: http.client.HTTPResponse, manners: Manners) -> int | None:
    """Look at an answer's head, and make the part ready for its body. Gives the file's size, if known."""
    url, before = str(wanted.address), part.note
    if (encoding := answer.headers.get("Content-Encoding", "identity")) != "identity":
        raise PackFetchError(f"the server sends it packed ({encoding})", where=url)
    start, total = _span(answer, url)
    now = Note(
        url=url,
        sha256=wanted.sha256,
        etag=answer.headers.get("ETag"),
        modified=answer.headers.get("Last-Modified"),
        total=total,
        pieces=before.pieces + 1 if before and start else 1,
    )
    if start != part.held or (start and before and before.url == url and not before.is_of(now)):
        part.restart()
        if start:
            raise PassingError("the file has changed on the server")
    if total is not None:
        _check_size(wanted, total)
    elif wanted.size_bytes is None and wanted.sha256 is None and not answer.chunked:
        raise PackFetchError("the server does not say how long it is", where=url, hint="Give its --sha256")
    total = total if total is not None else wanted.size_bytes
    if total is not None and total > manners.max_bytes:
        problem = f"has {as_size(total)}, and the limit is {as_size(manners.max_bytes)}"
        raise PackFetchError(problem, where=url, hint="See --max-size")
    require_space(part.final.parent, max(0, (total or 0) - start))
    part.remember(now)
    return total


def _span(answer: http.client.HTTPResponse, url: str) -> tuple[int, int | None]:
    """(first byte that comes, size of the whole file if it is told)."""
    if answer.status == 200:
        return 0, length_of(answer)
    told = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", answer.headers.get("Content-Range", ""))
    if answer.status != 206 or told is None:
        raise PackFetchError(f"the server says {answer.status} {answer.reason}, and sends no file", where=url)
    return int(told[1]), int(told[2]) + 1 if told[3] == "*" else int(told[3])


def _checked(wanted: Wanted, part: Part) -> str:
    """The sum of the whole part, which is the one expected. A wrong part is dropped."""
    digest, note = part.digest(), part.note
    try:
        _check_size(wanted, part.held)
        _check_digest(wanted, digest)
    except PackFetchError:
        part.restart()
        # Pieces of two versions, bytes that a crash kept from the disk, or an end that nobody announced: from
        # the start it may be whole.
        if note is not None and (note.pieces > 1 or note.total is None):
            raise PassingError("what came is not the file expected") from None
        raise
    return digest


def _check_size(wanted: Wanted, size_bytes: int) -> None:
    if wanted.size_bytes is not None and size_bytes != wanted.size_bytes:
        problem = f"has {size_bytes} bytes, and {wanted.size_bytes} were expected"
        hint = "It is another file, or a newer one: ask whoever made the index, or check the address"
        raise PackFetchError(problem, where=wanted.address, hint=hint)


def _check_digest(wanted: Wanted, digest: str) -> None:
    if wanted.sha256 is not None and digest != wanted.sha256:
        problem = f"is not the file expected: its sha256 is {digest}, and {wanted.sha256} was asked for"
        hint = "Nothing of it was kept. Check the address and the sum"
        raise PackFetchError(problem, where=wanted.address, hint=hint)
