"""The globals that a model file may name, and the inert things that stand for them.

Nothing here is imported because a file says so: every function below is ours, takes what the file gives it
with suspicion and makes plain values.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from stit_vfx.errors import PackUnsafeError
from stit_vfx.packs.reading.arrays import Arrays
from stit_vfx.packs.reading.machine import (
    CALL,
    LONGEST_NAME,
    NAME,
    ONLY_WEIGHTS,
    Budget,
    Known,
    broken,
    integers,
    key_of,
    put_all,
    shown,
)
from stit_vfx.packs.reading.values import Span, Storage, StoredTensor, Stranger

STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}
UNTYPED = ("torch.storage", "UntypedStorage")
DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (*STORAGES.values(), torch.uint16, torch.uint32, torch.uint64)
}
PERSISTENT = "torch_utils.persistence"
NETWORK = "dnnlib.tflib.network"
LATIN = ("latin1", "latin-1")
# Source text that the file's maker would have us run.
SOURCES = ("module_src", "build_module_src")


def storage_kind(module: str, name: str) -> Known | None:
    """The type of a storage, as persistent ids name it; None if it is none."""
    if (module, name) == UNTYPED:
        return Known(f"{module}.{name}", detail=(None,))
    if module in ("torch", "torch.cuda") and name in STORAGES:
        return Known(f"{module}.{name}", detail=(STORAGES[name],))
    return None


class StorageNames:
    """What a storage that is pickled on its own may name: its type."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget

    def find(self, module: str, name: str) -> Any:
        return storage_kind(module, name) or _refuse(module, name)

    def settle(self, stranger: Stranger, state: Any) -> Stranger:
        return _refuse(stranger.module, stranger.name)


class ModelNames:
    """What model files may name.

    load_storage  reads the bytes of a storage that is pickled on its own
    size          of the file in bytes, the measure of what it may expand to
    """

    def __init__(
        self, *, size: int, load_storage: Callable[[Span, Budget], Storage], torchscript: bool = False
    ) -> None:
        self.budget = Budget()
        self._load_storage = load_storage
        self._torchscript = torchscript
        self._arrays = Arrays(size)
        self._encoded: dict[int, tuple[str, bytes]] = {}
        self._hashes: dict[int, tuple[str, str]] = {}
        self._known = {
            each.title: each
            for each in (*self._plain(), *self._torch(), *self._arrays.known(), *self._classes())
        }

    def find(self, module: str, name: str) -> Any:
        if self._torchscript and f"{module}.".startswith("__torch__."):
            return Known(f"{module}.{name}", new=lambda: Stranger(module, name))
        if module == "torch" and name in DTYPES:
            return f"torch.{name}"
        return self._known.get(f"{module}.{name}") or storage_kind(module, name) or _refuse(module, name)

    def settle(self, stranger: Stranger, state: Any) -> Stranger:
        if not self._torchscript and not isinstance(state, dict):
            raise PackUnsafeError(f"opcode BUILD on {stranger.name} without attributes", hint=ONLY_WEIGHTS)
        sources = [state.get(key) for key in SOURCES] if isinstance(state, dict) else []
        for source in (each for each in sources if each is not None):
            object.__setattr__(stranger, "source_sha256", self._hash(source))
            self.budget.spend(len(state))
            state = {key: value for key, value in state.items() if key not in SOURCES}
        object.__setattr__(stranger, "state", state)
        return stranger

    def _plain(self) -> list[Known]:
        known = [Known("collections.OrderedDict", call=self._ordered)]
        # In the states of optimisers.
        known += [
            Known("collections.defaultdict", call=_default),
            Known("collections.Counter", call=_counter),
        ]
        for module in ("builtins", "__builtin__"):
            known += [Known(f"{module}.{name}") for name in ("dict", "list", "int", "float")]
            known += [Known(f"{module}.set", call=self._set), Known(f"{module}.frozenset", call=self._set)]
            known += [
                Known(f"{module}.bytes", call=_no_bytes),
                Known(f"{module}.bytearray", call=_byte_array),
            ]
        known += [Known("dnnlib.util.EasyDict", new=_easy_dict), Known("dnnlib.EasyDict", new=_easy_dict)]
        known += [Known("_codecs.encode", call=self._encode)]
        return known

    def _torch(self) -> list[Known]:
        known = [
            Known("torch._utils._rebuild_tensor", call=_tensor),
            Known("torch._utils._rebuild_tensor_v2", call=_tensor_v2),
            Known("torch._utils._rebuild_tensor_v3", call=_tensor_v3),
            Known("torch._utils._rebuild_parameter", call=_parameter),
            Known("torch._utils._rebuild_parameter_with_state", call=_parameter),
            Known("torch.storage._load_from_bytes", call=self._storage),
            Known("torch.device", call=_device),
            Known("torch.Size", call=_size),
        ]
        if self._torchscript:
            lists = ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist")
            known += [Known(f"torch.jit._pickle.{name}", call=_list) for name in lists]
            known += [Known("torch.jit._pickle.restore_type_tag", call=_tagged)]
        return known

    def _classes(self) -> list[Known]:
        return [
            Known(f"{PERSISTENT}._reconstruct_persistent_obj", call=self._persistent),
            Known(f"{NETWORK}.Network", new=lambda: Stranger(NETWORK, "Network")),
            Known("argparse.Namespace", new=lambda: Stranger("argparse", "Namespace")),
        ]

    def _ordered(self, pairs: Any = ()) -> OrderedDict[Any, Any]:
        made: OrderedDict[Any, Any] = OrderedDict()
        self.budget.spend(CALL * len(_a((list, tuple), pairs)))
        for pair in pairs:
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                raise broken("a dict is made of what are no pairs")
            put_all(made, list(pair))
        return made

    def _set(self, values: Any = ()) -> set[Any]:
        self.budget.spend(len(_a((list, tuple), values)))
        return {key_of(value) for value in values}

    def _encode(self, text: Any, encoding: Any) -> bytes:
        """Bytes, which protocol 2 saves as a text. The same text costs its memory once."""
        if _a(str, encoding) not in LATIN:
            raise PackUnsafeError("global _codecs.encode with another encoding than latin-1")
        if id(_a(str, text)) not in self._encoded:
            try:
                self._encoded[id(text)] = text, text.encode("latin-1")
            except UnicodeEncodeError:
                raise broken("bytes are not latin-1") from None
        return self._encoded[id(text)][1]

    def _storage(self, data: Any) -> Storage:
        return self._load_storage(Span.of(_a((bytes, Span), data)), self.budget)

    def _persistent(self, meta: Any) -> Stranger:
        kind, name, source = (_a(dict, meta).get(key) for key in ("type", "class_name", "module_src"))
        if not _is_word(kind, "class") or not isinstance(name, str):
            raise broken("a persistent object has no class")
        if len(name) > LONGEST_NAME or not NAME.fullmatch(name):
            raise PackUnsafeError(f"a persistent object of the class {shown(name)}", hint=ONLY_WEIGHTS)
        source_sha256 = None if source is None else self._hash(source)
        return Stranger(PERSISTENT, name, (), _a(dict, meta.get("state")), source_sha256)

    def _hash(self, source: Any) -> str:
        if id(_a(str, source)) not in self._hashes:
            self._hashes[id(source)] = source, sha256(source.encode("utf-8", "surrogatepass")).hexdigest()
        return self._hashes[id(source)][1]


def _refuse(module: str, name: str) -> Any:
    raise PackUnsafeError(f"global {module}.{name}, which no weights need", hint=ONLY_WEIGHTS)


def _a(kind: type | tuple[type, ...], value: Any) -> Any:
    if not isinstance(value, kind):
        raise PackUnsafeError(
            f"a value of the kind {type(value).__name__.lower()} in a wrong place", hint=ONLY_WEIGHTS
        )
    return value


def _easy_dict() -> dict[Any, Any]:
    return {}


def _default(factory: Any = None) -> dict[Any, Any]:
    """What would be made for missing keys does not matter."""
    return {}


def _counter(counts: Any) -> dict[Any, Any]:
    return _a(dict, counts)


def _no_bytes() -> bytes:
    return b""


def _byte_array(data: Any = b"", encoding: Any = None) -> Any:
    return _a((bytes, Span), data)


def _view(dtype: torch.dtype, storage: Any, offset: Any, size: Any, stride: Any) -> StoredTensor:
    (start,) = integers((offset,))
    return StoredTensor(dtype, integers(size), integers(stride), start, _a(Storage, storage))


def _tensor(storage: Any, offset: Any, size: Any, stride: Any) -> StoredTensor:
    dtype = _a(Storage, storage).dtype
    if dtype is None:
        raise broken("a tensor of no type")
    return _view(dtype, storage, offset, size, stride)


def _tensor_v2(
    storage: Any, offset: Any, size: Any, stride: Any, grad: Any, hooks: Any, metadata: Any = None
) -> StoredTensor:
    _check_bare(hooks, metadata)
    return _tensor(storage, offset, size, stride)


def _tensor_v3(
    storage: Any, offset: Any, size: Any, stride: Any, grad: Any, hooks: Any, dtype: Any, metadata: Any = None
) -> StoredTensor:
    _check_bare(hooks, metadata)
    kind = DTYPES.get(_a(str, dtype).removeprefix("torch."))
    if kind is None:
        raise broken("a tensor of no type")
    return _view(kind, storage, offset, size, stride)


def _check_bare(hooks: Any, metadata: Any) -> None:
    """Hooks are functions; metadata says that the stored numbers are to be negated or conjugated."""
    for each in (hooks, metadata):
        if each is not None and (not isinstance(each, dict | list | tuple) or len(each)):
            raise PackUnsafeError("a tensor with hooks or metadata", hint=ONLY_WEIGHTS)


def _parameter(data: Any, grad: Any, hooks: Any, state: Any = None) -> StoredTensor:
    _check_bare(hooks, None)
    return _a(StoredTensor, data)


def _device(kind: Any, index: Any = None) -> str:
    return _a(str, kind) if index is None else f"{_a(str, kind)}:{_a(int, index)}"


def _size(sizes: Any) -> tuple[int, ...]:
    return integers(sizes)


def _list(values: Any) -> list[Any]:
    return _a(list, values)


def _tagged(value: Any, tag: Any) -> Any:
    return value


def _is_word(value: Any, word: str) -> bool:
    """Arrays compare to arrays, so what comes from a file is never compared before its type is known."""
    return isinstance(value, str) and value == word


def storage_of(pid: Any, path: Path) -> tuple[str, Storage]:
    """The storage that a persistent id announces, and its key in the file. Raises PackUnsafeError."""
    if type(pid) is not tuple or len(pid) not in (5, 6) or not _is_word(pid[0], "storage"):
        raise PackUnsafeError("a persistent id that is no storage", hint=ONLY_WEIGHTS)
    kind, key, _place, numel = pid[1:5]
    if not isinstance(kind, Known) or not isinstance(kind.detail, tuple):
        raise PackUnsafeError("a persistent id that is no storage", hint=ONLY_WEIGHTS)
    if not isinstance(key, str) or len(key) > 64 or not key.isascii() or not key.isalnum():
        raise PackUnsafeError(f"a storage with the name {shown(key)}", hint=ONLY_WEIGHTS)
    if type(numel) is not int or not 0 <= numel < 1 << 48:
        raise broken(f"storage {key} has no size")
    return key, Storage(key, kind.detail[0], numel, path)
