"""From a path to a ModelFile: what kind of file it is, told by its first bytes and never by its name."""

from __future__ import annotations

import hashlib
import mmap
import re
from pathlib import Path
from stat import S_ISREG
from typing import Any

from stit_vfx.errors import PackError, PackMissingError, PackSourceError, PackUnsafeError
from stit_vfx.packs.reading.archive import LOCAL_SIGNATURE, Member, read_archive
from stit_vfx.packs.reading.arrays import MAGIC, read_npy
from stit_vfx.packs.reading.machine import ONLY_WEIGHTS
from stit_vfx.packs.reading.safetensors_file import is_safetensors, read_safetensors
from stit_vfx.packs.reading.torch_files import is_torch_archive, read_pickle, read_zip
from stit_vfx.packs.reading.values import AGAIN, Container, ModelFile, Span

READ = "Read are .pkl, .pt, .pth, TorchScript archives, .safetensors, .npy and .npz"
# What people bring by mistake, by how it begins.
OTHERS = (
    (re.compile(rb"\s*<(!doctype|html|\?xml)", re.IGNORECASE), "is a web page: the download went wrong"),
    (re.compile(rb"version https://git-lfs"), "is a pointer of git-lfs, not the file"),
    (re.compile(rb"\x89HDF"), "is an HDF5 file, as Keras saves"),
    (re.compile(rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!"), "is compressed: unpack it first"),
)
# A pickle of protocol 0 or 1 has no header. Its first instructions are recognised to name what they call.
HEADERLESS = re.compile(rb"[(\]})lNd]*[ci]([A-Za-z_][\w.]{0,99})\n([A-Za-z_][\w.]{0,99})\n", re.ASCII)


def read_model_file(path: Path | str) -> ModelFile:
    """Read a model file without running anything in it. What it is, its first bytes say.

    Raises PackMissingError if it is not there, PackSourceError if it is damaged or of a kind that is not
    read, and PackUnsafeError, naming it, for whatever no weights need.
    """
    path = Path(path)
    try:
        whole = _mapped(path)
        container, root = _read(path, whole)
        return ModelFile(path, container, root, _sha256(path))
    except PackError as error:
        raise type(error)(error.problem, where=path, hint=error.hint) from None
    except FileNotFoundError:
        raise PackMissingError("there is no such file", where=path, hint="Check the path") from None
    except OSError as error:
        raise PackSourceError(f"cannot be read: {error.strerror or error}", where=path) from None
    except MemoryError:
        raise PackUnsafeError("takes more memory to read than there is", where=path) from None


def _mapped(path: Path) -> Span:
    with path.open("rb") as file:
        status = path.stat()
        if not S_ISREG(status.st_mode) or not status.st_size:
            raise PackSourceError("is empty, or no file", hint=AGAIN)
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return Span(memoryview(mapped), 0, len(mapped))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path, whole: Span) -> tuple[Container, Any]:
    head = bytes(whole.part(0, min(whole.size, 512)).view())
    if head.startswith(LOCAL_SIGNATURE):
        return _read_archive(path, read_archive(path, whole))
    if head.startswith(MAGIC):
        return "npy", read_npy(whole)
    # Before pickles: a table of 128 bytes begins as they do.
    if is_safetensors(whole):
        return "safetensors", read_safetensors(path, whole)
    if head.startswith(b"\x80"):
        return read_pickle(path, whole)
    raise _not_read(head)


def _read_archive(path: Path, members: dict[str, Member]) -> tuple[Container, Any]:
    if is_torch_archive(members):
        return read_zip(path, members)
    if members and all(name.endswith(".npy") for name in members):
        arrays = {name.removesuffix(".npy"): read_npy(each.unpacked()) for name, each in members.items()}
        return "npz", arrays
    raise PackSourceError("is an archive with no model in it", hint=READ)


def _not_read(head: bytes) -> PackError:
    if called := HEADERLESS.match(head):
        title = b".".join(called.groups()).decode("ascii")
        return PackUnsafeError(f"global {title} in a pickle of protocol 0 or 1", hint=ONLY_WEIGHTS)
    if head[257:262] == b"ustar":
        return PackSourceError("is a tar archive, as torch wrote before 0.2", hint=f"Save it again. {READ}")
    for pattern, what in OTHERS:
        if pattern.match(head):
            return PackSourceError(what, hint=READ)
    return PackSourceError("is no model file that is read", hint=READ)
