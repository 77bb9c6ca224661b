"""Files cut short or changed by a byte: a refusal, or a result that can be read. Never anything else."""

from __future__ import annotations

import os
import pickle
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import public_files
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from stit_vfx.errors import StitError
from stit_vfx.packs.reading import StoredTensor, Stranger, module_tensors, read_model_file

FIXTURES = ("nv_tiny_p3.pkl", "tuned_tiny.pt", "rosinality_tiny.pt", "sg2ada_tiny.safetensors", "edit.npz")
CUTS = 50
HEAD = b"\x80\x04"


def fixture(name: str) -> Path:
    named = os.environ.get("STIT_VECTORS")
    here = Path(named) if named else Path(__file__).parent.parent / "data" / "vectors"
    return (here / "open" if (here / "open").is_dir() else here) / name


def everything(value: Any) -> Iterator[StoredTensor]:
    """All tensors of a file, by a walk that trusts the file's own promise to end."""
    if isinstance(value, StoredTensor):
        yield value
    elif isinstance(value, Stranger):
        module_tensors(value)
        yield from everything(value.state)
    elif isinstance(value, dict):
        for each in value.values():
            yield from everything(each)
    elif isinstance(value, list | tuple | set):
        for each in value:
            yield from everything(each)


def read_all(path: Path) -> bool:
    """Whether a file is read, to its last number; a StitError is a no, and any other error is raised."""
    said = ""
    try:
        for tensor in everything(read_model_file(path).root):
            assert tuple(tensor.read().shape) == tensor.shape
    except StitError as error:
        said = str(error)
    assert not said or str(path) in said
    return not said


def _zip(path: Path, **options: Any) -> None:
    state = {"a": torch.ones(2, 3), "b": torch.arange(4).half(), "args": {"n": 1, "name": "x"}}
    torch.save({**state, "array": np.arange(3.0), "gain": np.float64(2)}, path, **options)


def _nvidia(path: Path) -> None:
    state = {"mapping.fc0.weight": torch.ones(2, 2), "synthesis.b4.const": torch.zeros(2)}
    public_files.nvidia_pickle(path, protocol=4, G_ema=public_files.persistent(state, kwargs={"z_dim": 2}))


def _script(path: Path) -> None:
    traced = torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(2))
    torch.jit.save(traced, path)


def _arrays(path: Path) -> None:
    path.write_bytes(pickle.dumps([[np.arange(3, dtype=np.float32)], [np.ones((2, 2))]], protocol=2))


MADE: dict[str, Callable[[Path], None]] = {
    "zip": _zip,
    "legacy": lambda path: _zip(path, _use_new_zipfile_serialization=False),
    "nvidia": _nvidia,
    "torchscript": _script,
    "arrays": _arrays,
    "safetensors": lambda path: save_file({"a": torch.ones(2, 3), "b": torch.zeros(4)}, path),
    "npy": lambda path: np.save(path, np.arange(6.0).reshape(2, 3)),
    "npz": lambda path: np.savez_compressed(path, a=np.arange(6.0), b=np.zeros((3, 3))),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A small file of every kind."""
    folder = tmp_path_factory.mktemp("made")
    return {kind: _bytes_of(folder / f"a.{kind}", write) for kind, write in MADE.items()}


def _bytes_of(path: Path, write: Callable[[Path], None]) -> bytes:
    write(path)
    assert read_all(path)
    return path.read_bytes()


@pytest.mark.parametrize("name", FIXTURES)
def test_a_file_that_is_cut_short_is_refused_wherever_it_is_cut(tmp_path: Path, name: str) -> None:
    whole, path = fixture(name).read_bytes(), tmp_path / name
    assert read_all(fixture(name))
    for cut in range(CUTS):
        path.write_bytes(whole[: len(whole) * cut // CUTS])
        assert not read_all(path), f"cut at {cut}/{CUTS}"


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_small_files_are_refused_cut_at_any_byte(tmp_path: Path, made: dict[str, bytes], kind: str) -> None:
    whole, path = made[kind], tmp_path / kind
    for cut in range(0, len(whole), max(1, len(whole) // 200)):
        path.write_bytes(whole[:cut])
        assert not read_all(path), f"cut at {cut} of {len(whole)}"


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_file_with_changed_bytes_is_read_or_refused(
    tmp_path: Path, made: dict[str, bytes], kind: str
) -> None:
    dice, path = random.Random(11), tmp_path / kind
    for _ in range(200):
        data = bytearray(made[kind])
        for _ in range(dice.choice((1, 1, 2, 8))):
            data[dice.randrange(len(data))] = dice.randrange(256)
        path.write_bytes(data)
        read_all(path)


OPCODES = b"()KNJMXB]}abestulhqr\x85\x86\x87\x88\x89\x8c\x8e\x90\x91\x93\x94RQc\x81\x95\x96."
NAMES = (
    b"ccollections\nOrderedDict\n",
    b"cargparse\nNamespace\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ctorch.storage\n_load_from_bytes\n",
    b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n",
    b"cnumpy.core.multiarray\n_reconstruct\n",
    b"cnumpy\ndtype\n",
    b"cnumpy\nndarray\n",
    b"c_codecs\nencode\n",
    b"\x8c\x02f4",
)


SETTINGS = settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
PIECES = [*(bytes([each]) for each in OPCODES), *NAMES]


@given(st.lists(st.sampled_from(PIECES), max_size=60))
@SETTINGS
def test_any_row_of_instructions_is_read_or_refused(tmp_path: Path, pieces: list[bytes]) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(HEAD + b"".join(pieces) + b".")
    read_all(path)


@given(st.binary(max_size=300))
@SETTINGS
def test_noise_is_refused(tmp_path: Path, noise: bytes) -> None:
    for head in (b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"\x80\x02"):
        (tmp_path / "a").write_bytes(head + noise)
        read_all(tmp_path / "a")
