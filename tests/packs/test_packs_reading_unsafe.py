"""Files that were made to do harm: nothing in them runs, and the refusal names what they hold."""

from __future__ import annotations

import contextlib
import os
import pickle
import struct
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from pickle_words import PROTO, blob, named, refused, text, whole, zipped

from stit_vfx.errors import PackSourceError, PackUnsafeError, StitError
from stit_vfx.packs.reading import Stranger, module_tensors, read_model_file
from stit_vfx.packs.reading.machine import MOST_STEPS, Budget, Machine
from stit_vfx.packs.reading.names import ModelNames
from stit_vfx.packs.reading.values import Span


@pytest.fixture(autouse=True)
def nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever the files try, none of these is reached."""
    reached: list[str] = []
    monkeypatch.setattr(os, "system", lambda *_: reached.append("os.system"))
    monkeypatch.setattr(os, "popen", lambda *_: reached.append("os.popen"))
    monkeypatch.setattr(pickle, "loads", lambda *_: reached.append("pickle.loads"))
    trap = types.ModuleType("trap")
    trap.__dict__["__getattr__"] = lambda name: reached.append(name)
    monkeypatch.setitem(sys.modules, "trap", trap)
    yield
    assert not reached


CALLS = [
    ("os", "system"),
    ("posix", "system"),
    ("subprocess", "Popen"),
    ("builtins", "eval"),
    ("builtins", "exec"),
    ("builtins", "getattr"),
    ("builtins", "__import__"),
    ("__builtin__", "compile"),
    ("torch", "load"),
    ("torch.storage", "_load_from_file"),
    ("torch.serialization", "load"),
    ("torch.hub", "load"),
    ("torch.jit", "load"),
    ("torch._utils", "_rebuild_qtensor"),
    ("torch._tensor", "_rebuild_from_type_v2"),
    ("numpy", "load"),
    ("numpy.testing._private.utils", "runstring"),
    ("numpy", "fromfile"),
    ("pickle", "loads"),
    ("_pickle", "loads"),
    ("copyreg", "_reconstructor"),
    ("functools", "partial"),
    ("operator", "attrgetter"),
    ("runpy", "run_path"),
    ("importlib", "import_module"),
    ("trap", "door"),
    ("__torch__.trap", "Door"),
    ("torch_utils.persistence", "_src_to_module"),
    ("training.networks", "Generator"),
]


@pytest.mark.parametrize(("module", "name"), CALLS, ids=[".".join(each) for each in CALLS])
def test_a_global_off_the_list_is_refused_by_name(
    brought: Callable[[bytes], Path], module: str, name: str
) -> None:
    body = text("echo harm") + b"\x85R."
    whole = rf"global {module}\.{name}".replace(".", r"\.").replace(r"\\.", r"\.")
    refused(brought(PROTO + named(module, name) + body), whole)
    refused(brought(PROTO + text(module) + text(name) + b"\x93" + body), whole)


def test_names_put_together_from_the_memo_are_refused_too(brought: Callable[[bytes], Path]) -> None:
    pieces = text("system") + b"\x94" + text("os") + b"\x94"
    refused(brought(PROTO + pieces + b"h\x01h\x00\x93" + text("x") + b"\x85R."), r"global os\.system")


def test_a_pickle_without_a_header_is_refused_with_what_it_calls(brought: Callable[[bytes], Path]) -> None:
    refused(brought(b"cos\nsystem\n(S'echo harm'\ntR."), r"global os\.system")
    refused(brought(b"(ios\nsystem\nS'echo harm'\n."), r"global os\.system")


@pytest.mark.parametrize(
    ("body", "opcode"),
    [
        (b"(ios\nsystem\n.", "INST"),
        (b"(" + named("collections", "OrderedDict") + b"o.", "OBJ"),
        (b"\x82\x01.", "EXT1"),
        (b"\x83\x01\x00.", "EXT2"),
        (b"\x84\x01\x00\x00\x00.", "EXT4"),
        (b"P../x\n.", "PERSID"),
        (b"N2.", "DUP"),
        (b"NN0.", "POP"),
        (b"I5\n.", "INT"),
        (named("argparse", "Namespace") + b")}\x92.", "NEWOBJ_EX"),
        (b"\x97.", "NEXT_BUFFER"),
        (b"\x98.", "READONLY_BUFFER"),
        (text("../x") + b"Q.", "BINPERSID"),
        (b"\xff.", "0xff"),
    ],
)
def test_an_opcode_that_weights_do_not_need_is_refused_by_name(
    brought: Callable[[bytes], Path], body: bytes, opcode: str
) -> None:
    refused(brought(PROTO + body), rf"opcode {opcode}\b")


ORDERED = named("collections", "OrderedDict") + b")R"
NAMESPACE = named("argparse", "Namespace") + b")\x81"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"}" + b"}" + text("__class__") + b"Nsb.", "opcode BUILD on dict"),
        (b"]}b.", "opcode BUILD on list"),
        (named("builtins", "set") + b")R}b.", "opcode BUILD on set"),
        (ORDERED + b"K\x01b.", "opcode BUILD on OrderedDict"),
        (NAMESPACE + b"]b.", "BUILD on Namespace without attributes"),
        (NAMESPACE + b"}}\x86b.", "BUILD on Namespace without attributes"),
        (NAMESPACE + b"}b}b.", "BUILD on an object of the class Namespace"),
        (named("argparse", "Namespace") + b"}b.", r"BUILD on global argparse\.Namespace"),
        (named("argparse", "Namespace") + b")R.", "opcode REDUCE on global argparse.Namespace"),
        (named("torch", "FloatStorage") + b"K\x04\x85R.", "opcode REDUCE on global torch.FloatStorage"),
        (named("builtins", "dict") + b")R.", "opcode REDUCE on global builtins.dict"),
        (named("numpy", "ndarray") + b"K\x04\x85\x85R.", "opcode REDUCE on global numpy.ndarray"),
        (named("collections", "OrderedDict") + b")\x81.", "opcode NEWOBJ on global collections.OrderedDict"),
        (text("os.system") + text("x") + b"\x85R.", "opcode REDUCE on str"),
        (b"N(K\x01e.", "opcode APPENDS on NoneType"),
        (NAMESPACE + text("x") + b"Ns.", "SETITEM on an object of the class Namespace"),
        (b"]" + text("x") + b"Ns.", "opcode SETITEM on list"),
        (b"}(K\x01\x90.", "opcode ADDITEMS on dict"),
        (named("collections", "OrderedDict") + b"K\x01K\x01\x86R.", "with 2 arguments"),
        (named("builtins", "bytes") + b"K\x01\x85R.", "with 1 arguments"),
        (named("_codecs", "encode") + text("x") + text("rot13") + b"\x86R.", "another encoding than latin-1"),
        (named("torch.storage", "_load_from_bytes") + text("x") + b"\x85R.", "kind str in a wrong place"),
        (named("torch", "device") + b"K\x01\x85R.", "kind int in a wrong place"),
    ],
)
def test_allowed_names_do_only_what_they_are_for(
    brought: Callable[[bytes], Path], body: bytes, said: str
) -> None:
    refused(brought(PROTO + body), said)


def test_methods_set_as_attributes_stay_data(brought: Callable[[bytes], Path]) -> None:
    words = text("__setstate__") + text("x") + text("__class__") + text("y") + text("__dict__") + b"}"
    root = read_model_file(brought(PROTO + NAMESPACE + b"}(" + words + b"ub.")).root
    assert type(root) is Stranger
    assert root.state == {"__setstate__": "x", "__class__": "y", "__dict__": {}}


def test_a_class_left_where_a_value_should_be_is_refused(brought: Callable[[bytes], Path]) -> None:
    refused(
        brought(PROTO + named("builtins", "dict") + b"."), r"global builtins\.dict that is used for nothing"
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"Nr\xff\xff\xff\x7f.", "memo index 2147483647 after 0 objects"),
        (b"\x8b\xff\xff\xff\x7f", "a whole number of 2147483647 bytes"),
        (b"X\xff\xff\xff\x7f", "a text of 2147483647 bytes"),
        (b"\x8d" + b"\xff" * 8, "a text of"),
        (b"T\xff\xff\xff\xff", "a text of"),
        (b"c" + b"a" * 5000, "endless name"),
        (named("os", "x" * 200), r"global os\.xxx"),
        (named("os", "system\x1b[2J"), r"global os\.'system\\x1b\[2J'"),
        (b"}]Ns.", "a key of the kind list"),
        (b"}" + text("\x1b[2J") + b"Ns.", "no plain name or number"),
        (b"})\x85\x85Ns.", "a key of the kind tuple"),
        (b"}\x8a\x09" + b"\xff" * 8 + b"\x00Ns.", "a key of the kind int"),
        (b"}X" + struct.pack("<I", 5000) + b"a" * 5000 + b"Ns.", "no plain name or number"),
        (b"(]]\x91.", "a key of the kind list"),
    ],
)
def test_what_would_eat_memory_is_refused(brought: Callable[[bytes], Path], body: bytes, said: str) -> None:
    refused(brought(PROTO + body), said)


def test_values_deep_in_each_other_are_refused(brought: Callable[[bytes], Path]) -> None:
    refused(brought(PROTO + b"N" + b"\x85" * 30_000 + b"."), "deep in each other")
    refused(brought(PROTO + b"]" * 30_000 + b"a" * 29_999 + b"."), "deep in each other")


def test_containers_in_themselves_are_refused(brought: Callable[[bytes], Path]) -> None:
    refused(brought(PROTO + b"]\x94h\x00a."), "list that contains itself")
    refused(brought(PROTO + b"}\x94" + text("a") + b"h\x00s."), "dict that contains itself")
    refused(brought(PROTO + b"]\x94}\x94" + text("a") + b"h\x00sa."), "that contains itself")
    refused(brought(PROTO + NAMESPACE + b"\x94}" + text("me") + b"h\x00sb."), "that contains itself")


def test_sharing_that_unfolds_without_end_is_refused_fast(brought: Callable[[bytes], Path]) -> None:
    """Each of 60 tuples holds the one before it twice: a walk would meet 2**60 values."""
    body = b")" + b"".join(b"\x94h" + bytes([n]) + b"\x86" for n in range(60))
    began = time.monotonic()
    refused(brought(PROTO + body + b"."), "more than 4000000 values")
    assert time.monotonic() - began < 2


def test_copying_one_long_list_again_and_again_is_refused() -> None:
    budget = MOST_STEPS
    names = ModelNames(size=100, load_storage=lambda data, budget: pytest.fail("no storage here"))
    assert names.budget.steps == budget
    pairs = b"](" + b"K\x01K\x01\x86" * 500 + b"e\x94"
    copies = (named("collections", "OrderedDict") + b"h\x00\x85R") * 3_000
    with pytest.raises(PackUnsafeError, match="takes more than 4000000 steps"):
        Machine(Span.of(PROTO + b"(" + pairs + copies + b"t."), names).run()


def test_a_budget_is_for_the_whole_file() -> None:
    budget = Budget(3)
    budget.spend(3)
    with pytest.raises(PackUnsafeError, match="steps"):
        budget.spend(1)


# Tensors and their storages


def storage(data: bytes = b"", *, numel: int = 4, kind: str = "FloatStorage", key: str = "0") -> bytes:
    """A storage pickled on its own, as plain pickles hold them."""
    pid = b"(" + text("storage") + named("torch", kind) + text(key) + text("cpu")
    pid += b"J" + struct.pack("<i", numel) + b"Nt"
    parts = [pickle.dumps(each, 2) for each in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    raw = struct.pack("<q", numel) + (data or b"\0" * 4 * numel)
    return b"".join(parts) + b"\x80\x02" + pid + b"Q." + pickle.dumps([key], 2) + raw


def from_bytes(data: bytes) -> bytes:
    return named("torch.storage", "_load_from_bytes") + blob(data) + b"\x85R"


def tensor(offset: int, size: tuple[int, ...], stride: tuple[int, ...], data: bytes | None = None) -> bytes:
    shape, steps = (b"(" + b"".join(map(whole, each)) + b"t" for each in (size, stride))
    made = from_bytes(storage() if data is None else data)
    return (
        named("torch._utils", "_rebuild_tensor_v2") + b"(" + made + whole(offset) + shape + steps + b"\x89}tR"
    )


def test_a_tensor_within_its_storage_is_read(brought: Callable[[bytes], Path]) -> None:
    data = struct.pack("<4f", 1, 2, 3, 4)
    root = read_model_file(brought(PROTO + tensor(1, (3,), (1,), storage(data)) + b".")).root
    assert torch.equal(root.read(), torch.tensor([2.0, 3, 4]))


@pytest.mark.parametrize(
    ("offset", "size", "stride", "said"),
    [
        (0, (5,), (1,), "reaches beyond its 4 stored numbers"),
        (1, (4,), (1,), "reaches beyond"),
        (0, (2, 2), (3, 1), "reaches beyond"),
        (5, (0,), (1,), "reaches beyond"),
        (-1, (2,), (1,), "strides"),
        (3, (2,), (-1,), "strides"),
        (0, (2,), (1, 1), "strides"),
        (0, (-2,), (1,), "has the shape"),
        (0, (2**31 - 1,) * 4, (0,) * 4, "has the shape"),
        (0, (1,) * 40, (0,) * 40, "a shape of 40 axes"),
        (0, (2**30,), (0,), "repeats 4 stored numbers"),
        (0, (2**31 - 1, 2), (2**31 - 1, 1), "reaches beyond"),
    ],
)
def test_a_tensor_outside_of_its_storage_is_refused(
    brought: Callable[[bytes], Path], offset: int, size: tuple[int, ...], stride: tuple[int, ...], said: str
) -> None:
    refused(brought(PROTO + tensor(offset, size, stride) + b"."), said)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (PROTO + named("os", "system") + text("x") + b"\x85R.", r"global os\.system"),
        (PROTO + from_bytes(storage()) + b".", r"global torch\.storage\._load_from_bytes"),
        (pickle.dumps(5, 2), "_load_from_bytes with no storage"),
        (storage(key="../x"), r"a storage with the name \.\./x"),
        (storage(key="/etc/passwd"), "a storage with the name"),
        (storage(kind="QInt8Storage"), r"global torch\.QInt8Storage"),
        (storage(numel=-1, data=b"\0"), "has no size"),
        (storage(numel=2**31 - 1, data=b"\0" * 16), "ends early"),
        (storage()[:-1], "ends early"),
    ],
)
def test_a_storage_inside_a_pickle_is_read_as_warily(
    brought: Callable[[bytes], Path], data: bytes, said: str
) -> None:
    with pytest.raises((PackUnsafeError, PackSourceError), match=said):
        read_model_file(brought(PROTO + from_bytes(data) + b"."))


def test_a_persistent_id_must_be_a_storage(tmp_path: Path) -> None:
    for pid in (b"K\x01", text("../x"), text("module") + b"N\x86", b"(" + text("storage") + b"NNNNt"):
        path = zipped(tmp_path / "a.pt", PROTO + pid + b"Q.", {})
        refused(path, "a persistent id that is no storage")


@pytest.mark.parametrize("hooks", [text("x"), b"](K\x01e"])
def test_a_tensor_with_hooks_is_refused(brought: Callable[[bytes], Path], hooks: bytes) -> None:
    body = tensor(0, (4,), (1,)).replace(b"\x89}tR", b"\x89" + hooks + b"tR")
    refused(brought(PROTO + body + b"."), "a tensor with hooks")


# Arrays

RECONSTRUCT, NDARRAY = named("numpy.core.multiarray", "_reconstruct"), named("numpy", "ndarray")
EMPTY_ARRAY = RECONSTRUCT + NDARRAY + b"K\x00\x85C\x01b\x87R"
RECORDS = b"(K\x03" + text("<") + b"N](NeNK\x01K\x01K\x00tb"


def array(
    shape: bytes,
    dtype: str,
    data: bytes,
    *,
    state: bytes = b"(K\x03" + text("<") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
) -> bytes:
    made = (
        named("numpy.core.multiarray", "_reconstruct") + named("numpy", "ndarray") + b"K\x00\x85C\x01b\x87R"
    )
    kind = named("numpy", "dtype") + text(dtype) + b"\x89\x88\x87R" + state
    return made + b"(K\x01" + shape + kind + b"\x89" + data + b"tb"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (array(b"K\x02\x85", "O8", b"](NNe"), "an array of the type O8"),
        (array(b"K\x02\x85", "f4", b"](NNe"), "an array of objects"),
        (array(b"K\x02\x85", "S4", blob(b"12345678")), "an array of the type S4"),
        (array(b"K\x02\x85", "V8", blob(b"1" * 16)), "an array of the type V8"),
        (array(b"K\x02\x85", "f4,f4", blob(b"1" * 16)), "an array of the type"),
        (array(b"K\x03\x85", "f4", blob(b"12345678")), "has 8 bytes"),
        (array(b"K\x01\x85", "f4", blob(b"12345678")), "has 8 bytes"),
        (array(whole(-2) + b"\x85", "f4", blob(b"")), "has the shape"),
        (array(b"\x8a\x08" + b"\xff" * 7 + b"\x7fK\x00\x86", "f4", blob(b"")), "has the shape"),
        (array(b"K\x02\x85", "f4", b"N"), "an array of no numbers"),
        (array(b"K\x02\x85", "f4", blob(b"12345678"), state=b""), "an array of no numbers"),
        (
            array(b"K\x02\x85", "f4", b"C\x08" + b"1" * 8, state=RECORDS),
            "an array of records",
        ),
        (
            RECONSTRUCT + named("collections", "OrderedDict") + b"K\x00\x85C\x01b\x87R.",
            "a class of its own",
        ),
        (RECONSTRUCT + NDARRAY + b"J\xff\xff\xff\x7f\x85C\x01b\x87R", "a class of its own"),
        (EMPTY_ARRAY, "an array without contents"),
    ],
)  # fmt: skip
def test_arrays_of_anything_but_numbers_are_refused(
    brought: Callable[[bytes], Path], body: bytes, said: str
) -> None:
    refused(brought(PROTO + body + b"."), said)


def test_one_block_of_bytes_does_not_become_many_arrays(brought: Callable[[bytes], Path]) -> None:
    data = blob(b"\0" * 400_000) + b"\x94"
    many = array(whole(100_000) + b"\x85", "f4", b"h\x00") * 8
    refused(brought(PROTO + b"(" + data + many + b"t."), "arrays larger than the file")


ARRAY = array(b"K\x02\x85", "f4", blob(b"12345678"))
DEEP = b")" + b"\x85" * 5_000
PERSISTENT = named("torch_utils.persistence", "_reconstruct_persistent_obj")
DTYPE = named("numpy", "dtype")
BUFFER = named("numpy.core.numeric", "_frombuffer")


@pytest.mark.parametrize("odd", [ARRAY, DEEP, b"]", b"}", b"N", b"K\x05"], ids=["array", "deep", *"ldni"])
@pytest.mark.parametrize(
    "body",
    [
        named("collections", "OrderedDict") + b"%b\x85R",
        named("collections", "defaultdict") + b"%b\x85R",
        named("collections", "Counter") + b"%b\x85R",
        named("builtins", "set") + b"%b\x85R",
        named("builtins", "bytearray") + b"%b\x85R",
        named("_codecs", "encode") + text("x") + b"%b\x86R",
        named("_codecs", "encode") + b"%b" + text("latin1") + b"\x86R",
        named("torch", "device") + b"%b\x85R",
        named("torch", "device") + text("cuda") + b"%b\x86R",
        named("torch", "Size") + b"%b\x85R",
        named("torch._utils", "_rebuild_parameter") + b"%b%b%b\x87R",
        named("torch._utils", "_rebuild_tensor_v2") + b"(" + from_bytes(storage()) + b"%b%b%b\x89%btR",
        named("torch._utils", "_rebuild_tensor_v2") + b"(" + from_bytes(storage()) + b"K\x00))\x89%btR",
        named("torch._utils", "_rebuild_tensor_v3") + b"(%bK\x00))\x89}%btR",
        named("torch.storage", "_load_from_bytes") + b"%b\x85R",
        PERSISTENT + b"%b\x85R",
        PERSISTENT + b"}(" + text("type") + b"%bu\x85R",
        PERSISTENT + b"}(" + text("type") + text("class") + text("class_name") + b"%bu\x85R",
        PERSISTENT
        + b"}("
        + text("type")
        + text("class")
        + text("class_name")
        + text("A")
        + text("state")
        + b"}"
        + text("module_src")
        + b"%bu\x85R",
        named("dnnlib.tflib.network", "Network") + b")\x81%bb",
        named("dnnlib.tflib.network", "Network") + b")\x81}" + text("build_module_src") + b"%bsb",
        RECONSTRUCT + b"%b%b%b\x87R",
        RECONSTRUCT + NDARRAY + b"%b\x85C\x01b\x87R",
        EMPTY_ARRAY + b"(K\x01%b%b%b%btb",
        EMPTY_ARRAY + b"%bb",
        DTYPE + b"%b\x89\x88\x87R",
        DTYPE + text("f4") + b"\x89\x88\x87R(K\x03%bNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
        BUFFER + b"(C\x04abcd" + DTYPE + text("u1") + b"\x89\x88\x87R%b%btR",
        b"}%bNs",
        b"}%b\x85Ns",
        b"(%b\x91",
    ],
    ids=range(31),
)
def test_any_value_in_any_place_is_read_or_refused(
    brought: Callable[[bytes], Path], body: bytes, odd: bytes
) -> None:
    """An array where a word is expected compares to an array; a deep tuple overflows what prints it."""
    path = brought(PROTO + body.replace(b"%b", odd) + b".")
    with contextlib.suppress(StitError):
        read_model_file(path)


@pytest.mark.parametrize("odd", [ARRAY, DEEP, b"]", b"N", b"K\x05"], ids=["array", "deep", *"lni"])
@pytest.mark.parametrize("place", range(6))
def test_any_value_in_a_persistent_id_is_read_or_refused(tmp_path: Path, place: int, odd: bytes) -> None:
    pid = [text("storage"), named("torch", "FloatStorage"), text("0"), text("cpu"), whole(4), b""]
    pid[place] = odd
    with contextlib.suppress(StitError):
        read_model_file(zipped(tmp_path / "a.pt", PROTO + b"(" + b"".join(pid) + b"tQ.", {}))


@pytest.mark.parametrize("odd", [ARRAY, ARRAY + b"\x85", b"K\x05", b"N", b"]"], ids=["array", *"tinl"])
def test_an_odd_list_of_passing_buffers_is_none(brought: Callable[[bytes], Path], odd: bytes) -> None:
    words = text("type") + text("class") + text("class_name") + text("A") + text("state")
    state = b"}(" + text("_buffers") + b"}" + text("a") + tensor(0, (4,), (1,)) + b"s"
    body = PERSISTENT + b"}(" + words + state + text("_non_persistent_buffers_set") + odd + b"uu\x85R."
    root = read_model_file(brought(PROTO + body)).root
    assert list(module_tensors(root)) == ["a"]
