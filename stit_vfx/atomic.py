"""The one way a file comes into being: whole, or not at all.

A temporary file in the same folder, fsync, rename. Killed at any moment it leaves the old file, or the new
one, or a temporary `.tmp-*` that nobody reads and `stit gc` removes.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

from stit_vfx.errors import DiskFullError, ReadOnlyError, StitError, StorageError, TransientError

TEMP_PREFIX = ".tmp-"

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
_AWAY = (errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENOTCONN)


def atomic_write(path: str | Path, write: Callable[[Path], object], *, suffix: str | None = None) -> None:
    """Let `write(temporary)` make a file, and give it its name when it is whole and on the disk.

    path    the final name; missing folders are made
    write   gets the path of an empty file with `suffix` (default: that of `path`) in the same folder, since
            a rename between folders can be a copy
    Raises DiskFullError, ReadOnlyError, TransientError or StorageError for what the storage refuses; what
    else `write` raises passes through. The temporary file is removed in every case.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _make(path.parent, path.suffix if suffix is None else suffix)
        try:
            write(temporary)
            _flush(temporary)
            _rename(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _flush_folder(path.parent)
    except OSError as error:
        raise storage_error(error, where=path) from error


def atomic_bytes(path: str | Path, data: bytes) -> None:
    """Write bytes as `atomic_write` does."""
    atomic_write(path, lambda temporary: temporary.write_bytes(data))


def storage_error(error: OSError, *, where: str | Path | None = None) -> StitError:
    """The error a user can act on, for what the operating system said."""
    where = where if where is not None else error.filename
    said = error.strerror or str(error)
    if error.errno in _FULL:
        return DiskFullError("no space left to write this file", where=where, hint="Free some space")
    if error.errno in _READ_ONLY:
        return ReadOnlyError(f"may not be written: {said}", where=where, hint="Choose another output folder")
    if error.errno in _AWAY:
        return TransientError(f"the storage does not answer: {said}", where=where, hint="Try again")
    return StorageError(f"cannot be read or written: {said}", where=where)


def host_name() -> str:
    """This machine's name, or `host` where STIT_NO_USER keeps names out of files."""
    if os.environ.get("STIT_NO_USER"):
        return "host"
    import socket

    return socket.gethostname()


def _make(folder: Path, suffix: str) -> Path:
    path = folder / f"{TEMP_PREFIX}{host_name()}-{os.getpid()}-{os.urandom(6).hex()}{suffix}"
    # O_EXCL, so that nobody can have put a link there.
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    return path


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rename(temporary: Path, path: Path) -> None:
    for wait_s in (0.05, 0.1, 0.2, 0.4):
        try:
            return os.replace(temporary, path)
        except PermissionError:
            # Windows and SMB refuse while somebody has the old file open; elsewhere the reason will stay.
            if os.name != "nt":
                raise
            time.sleep(wait_s)
    os.replace(temporary, path)


def _flush_folder(folder: Path) -> None:
    """Make the rename itself last. Not every file system can; the file is whole either way."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)
