"""Archives, arrays and tables that lie about themselves are refused before they are believed."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pickle_words import PLAIN, PROTO, named, refused, stored, text, zipped

from stit_vfx.errors import PackSourceError, PackUnsafeError
from stit_vfx.packs.reading import StoredTensor, module_tensors, read_model_file


@pytest.mark.parametrize("saved", [np.array([{}, None]), np.array(["a"]), np.zeros(2, "f4,i4")])
def test_npy_files_of_anything_but_numbers_are_refused(tmp_path: Path, saved: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", saved, allow_pickle=True)
    refused(tmp_path / "a.npy", "an array of the type")
    np.savez(tmp_path / "a.npz", a=saved)
    refused(tmp_path / "a.npz", "an array of the type")


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999999,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (True,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': [1], }",
        "{'descr': '<f4', 'fortran_order': False}",
        "{'descr': ['<f4'], 'fortran_order': False, 'shape': (1,), }",
        "__import__('os').system('harm')",
        "{[]: 1}",
        "(" * 5000,
        "\0",
    ],
)
def test_npy_headers_that_lie_are_refused(brought: Callable[[bytes], Path], header: str) -> None:
    head = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()
    with pytest.raises((PackUnsafeError, PackSourceError)):
        read_model_file(brought(head + b"\0" * 4))


def test_the_archives_made_here_are_read(tmp_path: Path) -> None:
    data = struct.pack("<4f", 1, 2, 3, 4)
    root = read_model_file(zipped(tmp_path / "a.pt", stored(), {"a/data/0": data})).root
    assert isinstance(root, StoredTensor)
    assert root.read().tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "name", ["/etc/cron", "a/../../x", "../x", "C:/x", "a\\x", "a//x", "a/./x", "a/\x1b"]
)
def test_members_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    refused(zipped(tmp_path / "a.pt", PLAIN, {name: b""}), "an archive with a member named")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    refused(zipped(tmp_path / "a.pt", PLAIN, {"a/data.pkl": PLAIN}), "two members named 'a/data.pkl'")


def test_two_models_in_one_archive_are_refused(tmp_path: Path) -> None:
    refused(zipped(tmp_path / "a.pt", PLAIN, {"b/data.pkl": PLAIN}), "several models")


def test_a_compressed_archive_is_not_unpacked(tmp_path: Path) -> None:
    bomb = b"\0" * 50_000_000
    path = zipped(tmp_path / "a.pt", PLAIN, {"a/data/0": bomb}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(PackSourceError, match=r"a/data\.pkl is compressed"):
        read_model_file(path)


def test_a_storage_of_another_size_than_announced_is_refused(tmp_path: Path) -> None:
    for numel in (3, 5, 2**30):
        path = zipped(tmp_path / "a.pt", stored(numel=numel), {"a/data/0": b"\0" * 16})
        refused(path, f"storage 0 has 16 bytes where {numel * 4} are announced")


def test_a_storage_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PackSourceError, match="a/data/7 is not in the archive"):
        read_model_file(zipped(tmp_path / "a.pt", stored("7"), {"a/data/0": b"\0" * 16}))


def test_a_storage_of_two_types_is_refused(tmp_path: Path) -> None:
    other = stored()[2:].replace(b"FloatStorage", b"IntStorage")
    both = PROTO + stored()[2:-1] + other[:-1] + b"\x86."
    refused(zipped(tmp_path / "a.pt", both, {"a/data/0": b"\0" * 16}), "of two sizes or types")


def test_a_big_endian_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackSourceError, match="big-endian"):
        read_model_file(zipped(tmp_path / "a.pt", PLAIN, {"a/byteorder": b"big"}))


def test_a_changed_number_is_told_when_it_is_read(tmp_path: Path) -> None:
    data = struct.pack("<4f", 1, 2, 3, 4)
    path = zipped(tmp_path / "a.pt", stored(), {"a/data/0": data})
    raw = path.read_bytes()
    path.write_bytes(raw.replace(data, struct.pack("<4f", 1, 2, 3, 5)))
    root = read_model_file(path).root
    with pytest.raises(PackSourceError, match=r"a\.pt: is damaged: storage 0 is not what its checksum says"):
        root.read()


def forged(path: Path, change: Callable[[bytearray, int, int], None]) -> Path:
    """An archive that was changed by hand; `change` gets its bytes and where a/data/0's two records are."""
    raw = bytearray(zipped(path, stored(), {"a/data/0": b"\0" * 16}).read_bytes())
    second = raw.index(b"PK\x03\x04", 4)
    change(raw, second, raw.index(b"PK\x01\x02", raw.index(b"PK\x01\x02") + 4))
    path.write_bytes(raw)
    return path


def _put(where: int, form: str, value: Any) -> Callable[[bytearray, int, int], None]:
    def change(raw: bytearray, local: int, central: int) -> None:
        struct.pack_into(form, raw, (local if where < 0 else central) + abs(where), value)

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_put(-18, "<I", 99), "not what the archive's directory says"),
        (_put(-22, "<I", 99), "not what the archive's directory says"),
        (_put(-14, "<I", 99), "not what the archive's directory says"),
        (_put(-8, "<H", 8), "not what the archive's directory says"),
        (_put(-30, "5s", b"b/dat"), "not what the archive's directory says"),
        (_put(24, "<I", 1 << 30), "has 16 bytes and announces 1073741824"),
        (_put(42, "<I", 0), "not what the archive's directory says"),
    ],
)
def test_headers_that_disagree_with_the_directory_are_refused(
    tmp_path: Path, change: Callable[[bytearray, int, int], None], said: str
) -> None:
    refused(forged(tmp_path / "a.pt", change), said)


def test_members_that_overlap_are_refused(tmp_path: Path) -> None:
    def longer(raw: bytearray, local: int, central: int) -> None:
        """The first member claims the second's bytes."""
        first = raw.index(b"PK\x01\x02")
        size = struct.unpack_from("<I", raw, 18)[0] + 60
        crc = zlib.crc32(raw[30 + len("a/data.pkl") :][:size])
        for start in (14, first + 16):
            struct.pack_into("<III", raw, start, crc, size, size)

    refused(forged(tmp_path / "a.pt", longer), "overlap")


def test_an_npz_that_unpacks_to_more_than_it_says_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(1_000_000))
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.zeros(1_000_000))
    raw = bytearray(path.read_bytes())
    central = raw.index(b"PK\x01\x02")
    struct.pack_into("<I", raw, central + 24, 200)
    path.write_bytes(raw)
    refused(path, "does not unpack to the 200 bytes|not what the archive's directory says")


def test_an_npz_that_claims_the_impossible_is_refused_before_unpacking(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.zeros(4))
    raw = bytearray(path.read_bytes())
    struct.pack_into("<I", raw, raw.index(b"PK\x01\x02") + 24, 4_000_000_000)
    path.write_bytes(raw)
    refused(path, "claims to unpack to 4000000000 bytes|not what the archive's directory says")


def test_code_in_a_torchscript_archive_is_not_looked_at(tmp_path: Path) -> None:
    index = PROTO + named("__torch__.trap", "Door") + b")\x81}" + text("w") + stored()[2:-1] + b"sb."
    members = {
        "a/data/0": b"\0" * 16,
        "a/code/__torch__/trap.py": b"raise SystemExit",
        "a/constants.pkl": b"cos\n",
    }
    file = read_model_file(zipped(tmp_path / "a.pt", index, members))
    assert file.container == "torchscript"
    assert (file.root.module, file.root.name) == ("__torch__.trap", "Door")
    assert list(module_tensors(file.root)) == ["w"]


# safetensors


def safetensors(table: Any, data: bytes = b"\0" * 16) -> bytes:
    head = table if isinstance(table, bytes) else json.dumps(table).encode()
    return struct.pack("<Q", len(head)) + head + data


def entry(dtype: Any = "F32", shape: Any = (4,), offsets: Any = (0, 16)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    "table",
    [
        {"a": entry(offsets=(0, 32))},
        {"a": entry(offsets=(-16, 0))},
        {"a": entry(offsets=(16, 0))},
        {"a": entry(offsets=(8, 16), shape=(2,))},
        {"a": entry(offsets=[0, 8])},
        {"a": entry(offsets=("0", "16"))},
        {"a": entry(offsets=None)},
        {"a": entry(shape=(5,))},
        {"a": entry(shape=(-4,))},
        {"a": entry(shape=(2**70, 0))},
        {"a": entry(shape="4")},
        {"a": entry(dtype="F128")},
        {"a": entry(dtype=["F32"])},
        {"a": entry(), "b": entry()},
        {"a": 5},
        {"a": entry(offsets=(0, 8), shape=(2,))},
        b'{"a": {"dtype": "F32", "dtype": "F16"}}',
        b'{"a": ' + b"[" * 100_000,
        b"{nonsense}",
        b'{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 1' + b"0" * 5000 + b"]}}",
    ],
)
def test_safetensors_tables_that_lie_are_refused(brought: Callable[[bytes], Path], table: Any) -> None:
    with pytest.raises((PackUnsafeError, PackSourceError)):
        read_model_file(brought(safetensors(table)))
