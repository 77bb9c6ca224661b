"""Files that torch writes: zip archives, TorchScript archives, and the form used before torch 1.6."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from stit_vfx.errors import PackSourceError, PackUnsafeError
from stit_vfx.packs.reading.archive import Member
from stit_vfx.packs.reading.machine import ONLY_WEIGHTS, Budget, Machine, Names, broken
from stit_vfx.packs.reading.names import ModelNames, StorageNames, storage_of
from stit_vfx.packs.reading.tree import check_tree
from stit_vfx.packs.reading.values import AGAIN, Container, Span, Storage

MAGIC = 0x1950A86A20F9469CFC6C
LEGACY = 1001
INDEX = "data.pkl"


def is_torch_archive(members: dict[str, Member]) -> bool:
    return any(name.count("/") == 1 and name.endswith(f"/{INDEX}") for name in members)


def read_zip(path: Path, members: dict[str, Member]) -> tuple[Container, Any]:
    """What a torch archive holds; its tensors stay where they are. Code in it is not looked at."""
    tops = [
        name.removesuffix(INDEX) for name in members if name.count("/") == 1 and name.endswith(f"/{INDEX}")
    ]
    if len(tops) != 1:
        raise PackUnsafeError("an archive with several models in it", hint=ONLY_WEIGHTS)
    top = tops[0]
    order = members.get(f"{top}byteorder")
    if order is not None and bytes(order.plain().view()).strip() != b"little":
        raise PackSourceError("was saved on a big-endian machine", hint="Save it again on another machine")
    script = f"{top}constants.pkl" in members or any(name.startswith(f"{top}code/") for name in members)
    index = members[top + INDEX].checked()
    size = sum(member.stored.size for member in members.values())
    names = ModelNames(size=size, load_storage=_nested(path), torchscript=script)
    storages: dict[str, Storage] = {}

    def persistent(pid: Any) -> Storage:
        key, storage = storage_of(pid, path)
        return _same(storages, key, storage) or _placed(storages, key, storage, members, f"{top}data/{key}")

    machine = Machine(index, names, persistent=persistent)
    root = machine.run()
    check_end(machine)
    return "torchscript" if script else "torch-zip", check_tree(root)


def check_end(machine: Machine) -> None:
    if machine.position != machine.span.size:
        raise broken("there is something behind its end")


def _same(storages: dict[str, Storage], key: str, storage: Storage) -> Storage | None:
    """The storage already known by this key. Raises PackUnsafeError if it was another."""
    known = storages.get(key)
    if known is not None and (known.dtype, known.numel) != (storage.dtype, storage.numel):
        raise PackUnsafeError(f"a storage {key} of two sizes or types", hint=ONLY_WEIGHTS)
    return known


def _placed(
    storages: dict[str, Storage], key: str, storage: Storage, members: dict[str, Member], name: str
) -> Storage:
    if name not in members:
        raise PackSourceError(f"{name} is not in the archive", hint=AGAIN)
    storages[key] = storage.place(members[name].plain(), members[name].crc)
    return storage


def _nested(path: Path) -> Callable[[Span, Budget], Storage]:
    def load(data: Span, budget: Budget) -> Storage:
        """A storage that was pickled on its own, inside of something else."""
        names = StorageNames(budget)
        magic = Machine(data, names)
        if magic.run() != MAGIC:
            raise PackUnsafeError("global torch.storage._load_from_bytes with no storage", hint=ONLY_WEIGHTS)
        root = read_legacy(path, data, names, start=magic.position)
        if not isinstance(root, Storage):
            raise PackUnsafeError("global torch.storage._load_from_bytes with no storage", hint=ONLY_WEIGHTS)
        return root

    return load


def read_legacy(path: Path, data: Span, names: Names, *, start: int) -> Any:
    """What a file of torch before 1.6 holds, or a storage pickled on its own, from behind the magic number.

    Four pickles follow it (version, machine, object, keys of the storages), then the storages: the count of
    numbers in 8 bytes, and the numbers.
    """
    storages: dict[str, Storage] = {}

    def persistent(pid: Any) -> Storage:
        if type(pid) is tuple and len(pid) == 6 and pid[5] is not None:
            raise PackSourceError("shares storages in a way that torch no longer reads", hint="Save it again")
        key, storage = storage_of(pid, path)
        return storages.setdefault(key, _same(storages, key, storage) or storage)

    values: list[Any] = []
    for _ in range(4):
        machine = Machine(data, names, start=start, persistent=persistent)
        values.append(machine.run())
        start = machine.position
    version, system, root, keys = values
    if (
        type(version) is not int
        or version != LEGACY
        or not isinstance(system, dict)
        or system.get("little_endian") is not True
    ):
        raise PackSourceError("is of a version of torch, or a machine, that is not read")
    _place_all(data, storages, keys, start)
    return root


def _place_all(data: Span, storages: dict[str, Storage], keys: Any, start: int) -> None:
    named = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    if not named or len(keys) != len(storages) or set(keys) != set(storages):
        raise broken("its list of storages is not the one that its tensors need")
    for key in keys:
        numel = int.from_bytes(data.part(start, 8).view(), "little", signed=True)
        storage = storages[key]
        if numel != storage.numel:
            raise PackUnsafeError(f"storage {key} has {numel} numbers where {storage.numel} are announced")
        storage.place(data.part(start + 8, storage.size))
        start += 8 + storage.size


def read_pickle(path: Path, data: Span) -> tuple[Container, Any]:
    """What a plain pickle holds, or a file of torch before 1.6, which begins as one."""
    names = ModelNames(size=data.size, load_storage=_nested(path))
    machine = Machine(data, names)
    root = machine.run()
    if type(root) is int and root == MAGIC:
        return "torch-legacy", check_tree(read_legacy(path, data, names, start=machine.position))
    check_end(machine)
    return "pickle", check_tree(root)
