"""Every container gives back the numbers that were put in."""

from __future__ import annotations

import hashlib
import os
import pickle
import warnings
import zipfile
from argparse import Namespace
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from stit_vfx.errors import PackMissingError, PackSourceError
from stit_vfx.packs.reading import StoredTensor, Stranger, module_tensors, read_model_file, state_of
from stit_vfx.packs.reading.values import Span, Storage

DTYPES = [
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
]


@pytest.fixture(scope="module")
def folder() -> Path:
    """The stored reference files, or another set of the same layout named by $STIT_VECTORS."""
    named = os.environ.get("STIT_VECTORS")
    here = Path(named) if named else Path(__file__).parent.parent / "data" / "vectors"
    return here / "open" if (here / "open").is_dir() else here


@pytest.fixture(scope="module")
def tiny(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "sg2ada_tiny.safetensors")


def same(stored: dict[str, StoredTensor], wanted: dict[str, Tensor]) -> bool:
    return set(stored) == set(wanted) and all(
        torch.equal(stored[name].read(), tensor) and stored[name].dtype == tensor.dtype
        for name, tensor in wanted.items()
    )


def many_types() -> dict[str, Tensor]:
    torch.manual_seed(5)
    return {str(dtype).removeprefix("torch."): (torch.randn(3, 5) * 4).to(dtype) for dtype in DTYPES}


def save(value: Any, path: Path, **options: Any) -> Path:
    torch.save(value, path, **options)
    return path


def test_nvidias_snapshot_holds_the_reference_tensors(folder: Path, tiny: dict[str, Tensor]) -> None:
    file = read_model_file(folder / "nv_tiny_p3.pkl")
    assert file.container == "pickle"
    assert (file.root["G"], file.root["D"]) == (None, None)
    assert file.root["G_ema"].module == "torch_utils.persistence"
    assert file.root["G_ema"].name == "Generator"
    assert same(module_tensors(file.root["G_ema"]), tiny)
    assert file.sha256 == hashlib.sha256((folder / "nv_tiny_p3.pkl").read_bytes()).hexdigest()


def test_the_embedded_source_is_neither_run_nor_kept(folder: Path) -> None:
    source = b"raise SystemExit('embedded source was executed')\n"
    assert source in (folder / "nv_tiny_p3.pkl").read_bytes()
    network = read_model_file(folder / "nv_tiny_p3.pkl").root["G_ema"]
    assert network.source_sha256 == hashlib.sha256(source).hexdigest()
    assert "executed" not in repr(network.state)


def test_what_an_nvidia_module_says_of_itself_is_plain_python(folder: Path) -> None:
    state = read_model_file(folder / "nv_tiny_p3.pkl").root["G_ema"].state
    kwargs = state["_init_kwargs"]
    assert type(kwargs) is dict
    assert (kwargs["z_dim"], kwargs["img_resolution"]) == (64, 64)
    assert type(state["_modules"]["synthesis"].state["_modules"]["b8"].state["training"]) is bool


def test_stits_tuned_checkpoint_holds_generator_pivots_and_quads(
    folder: Path, tiny: dict[str, Tensor]
) -> None:
    file = read_model_file(folder / "tuned_tiny.pt")
    assert file.container == "torch-zip"
    assert same(module_tensors(file.root["generator"]), tiny)
    wplus = np.load(folder / "sg2ada_io.npz")["wplus"]
    np.testing.assert_array_equal(file.root["pivots"].read().numpy(), wplus)
    assert [(quad.shape, quad.dtype) for quad in file.root["quads"]] == [((4, 2), np.float64)] * 3


def test_rosinalitys_checkpoint_is_what_torch_reads(folder: Path) -> None:
    file = read_model_file(folder / "rosinality_tiny.pt")
    wanted = torch.load(folder / "rosinality_tiny.pt", weights_only=True)
    assert same(state_of(file.root["g_ema"]), dict(wanted["g_ema"]))
    assert torch.equal(file.root["latent_avg"].read(), wanted["latent_avg"])


def test_safetensors_are_what_their_library_reads(folder: Path, tiny: dict[str, Tensor]) -> None:
    file = read_model_file(folder / "sg2ada_tiny.safetensors")
    assert file.container == "safetensors"
    assert same(file.root, tiny)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_every_type_comes_back_from_torchs_files(tmp_path: Path, *, legacy: bool) -> None:
    path = save(many_types(), tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    file = read_model_file(path)
    assert file.container == ("torch-legacy" if legacy else "torch-zip")
    assert same(file.root, many_types())


def test_every_type_comes_back_from_safetensors(tmp_path: Path) -> None:
    empty = {"none": torch.zeros(0, 4), "scalar": torch.tensor(2.5)}
    save_file({**many_types(), **empty}, tmp_path / "a.safetensors", metadata={"made": "by us"})
    assert same(read_model_file(tmp_path / "a.safetensors").root, {**many_types(), **empty})


def test_types_that_only_newer_torch_knows_come_back(tmp_path: Path) -> None:
    wanted = {"big": torch.tensor([1, 65535], dtype=torch.uint16)}
    assert same(read_model_file(save(wanted, tmp_path / "a.pt")).root, wanted)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_views_share_a_storage_and_come_back_contiguous(tmp_path: Path, *, legacy: bool) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    wanted = {
        "all": base,
        "turned": base.t(),
        "column": base[:, 2],
        "corner": base[1:3, 2:5],
        "repeated": base[0, :1].expand(7, 1),
        "number": base[3, 5],
        "nothing": base[:0],
    }
    path = save(wanted, tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    root = read_model_file(path).root
    assert len({id(each.storage) for each in root.values()}) == 1
    assert same(root, wanted)
    assert all(each.read().is_contiguous() for each in root.values())


def test_a_tensor_is_given_in_memory_of_its_own(tmp_path: Path) -> None:
    path = save({"a": torch.ones(4)}, tmp_path / "a.pt")
    stored = read_model_file(path).root["a"]
    stored.read().zero_()
    assert torch.equal(stored.read(), torch.ones(4))


def test_settings_beside_the_weights_are_plain_python(tmp_path: Path) -> None:
    settings = {
        "args": Namespace(size=1024, path="x", ada=None),
        "milestones": Counter({2: 1}),
        "slots": defaultdict(dict, {3: {"step": 1}}),
        "device": torch.device("cuda", 0),
        "size": torch.Size([2, 3]),
        "dtype": torch.float16,
        "gain": np.float64(1.5),
        "count": np.int64(7),
        "yes": np.bool_(True),
        "bytes": b"ab",
        "set": {1, 2},
        "long": -(2**80),
        "pair": (1, "é"),
    }
    root = read_model_file(save(settings, tmp_path / "a.pt")).root
    args = root.pop("args")
    assert isinstance(args, Stranger)
    assert (args.module, args.name) == ("argparse", "Namespace")
    assert args.state == {"size": 1024, "path": "x", "ada": None}
    assert root == {
        "milestones": {2: 1},
        "slots": {3: {"step": 1}},
        "device": "cuda:0",
        "size": (2, 3),
        "dtype": "torch.float16",
        "gain": 1.5,
        "count": 7,
        "yes": True,
        "bytes": b"ab",
        "set": {1, 2},
        "long": -(2**80),
        "pair": (1, "é"),
    }
    assert type(root["gain"]) is float


def test_a_modules_state_with_versions_and_parameters_is_read(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
    saved = {"state": network.state_dict(), "parameter": network[0].weight}
    root = read_model_file(save(saved, tmp_path / "a.pt")).root
    assert same(state_of(root["state"]), dict(network.state_dict()))
    assert torch.equal(root["parameter"].read(), network[0].weight)


def test_an_optimisers_state_is_read(tmp_path: Path) -> None:
    weight = nn.Parameter(torch.ones(3))
    adam = torch.optim.Adam([weight])
    weight.sum().backward()
    adam.step()
    root = read_model_file(save(adam.state_dict(), tmp_path / "a.pt")).root
    assert torch.equal(root["state"][0]["exp_avg"].read(), adam.state_dict()["state"][0]["exp_avg"])


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(4, 3))
        self.register_buffer("mean", torch.randn(3))
        self.sizes = [1, 2]
        self.rates = [0.5]
        self.names = {"a": 1}

    def forward(self, x: Tensor) -> Tensor:
        return self.table @ x + self.mean[:1] + float(self.sizes[0]) * self.rates[0] + float(self.names["a"])


class Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Inner()
        self.last = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.inner(x))


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("traced", [False, True], ids=["scripted", "traced"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_torchscript_archives_give_their_modules_tensors(tmp_path: Path, *, traced: bool, half: bool) -> None:
    network = Outer().half() if half else Outer()
    example = torch.ones(3, dtype=torch.float16 if half else torch.float32)
    script = torch.jit.trace(network, example) if traced else torch.jit.script(network)
    torch.jit.save(script, tmp_path / "a.pt")
    file = read_model_file(tmp_path / "a.pt")
    assert file.container == "torchscript"
    assert isinstance(file.root, Stranger)
    assert file.root.module.startswith("__torch__")
    assert same(module_tensors(file.root), dict(network.state_dict()))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_in_pickles_come_back(tmp_path: Path, protocol: int) -> None:
    random = np.random.RandomState(3)
    wanted = [
        [random.randn(4, 3).astype(np.float32), random.randn(2).astype(np.float16)],
        [random.randn(2, 3, 4), np.asfortranarray(random.randn(3, 4)), random.randn(4, 5)[:, ::2]],
        [random.randint(0, 9, (2, 2)), random.randn(3) > 0, np.zeros((0, 3)), np.array(2.5)],
        [random.randn(3).astype(">f4"), random.randn(2, 3, 4).transpose(1, 0, 2), random.randn(300, 300)],
    ]
    (tmp_path / "S_mean_std").write_bytes(pickle.dumps(wanted, protocol=protocol))
    file = read_model_file(tmp_path / "S_mean_std")
    assert file.container == "pickle"
    for ours, theirs in zip(chain(*file.root), chain(*wanted), strict=True):
        assert (ours.dtype, ours.shape) == (theirs.dtype.newbyteorder("="), theirs.shape)
        np.testing.assert_array_equal(ours, theirs)
        ours += 0 if ours.dtype != bool else False  # in memory of its own, so it may be written


def test_arrays_that_python_2_pickled_come_back(tmp_path: Path) -> None:
    """Its bytes were texts. The array is [1.0, 2.0]."""
    body = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
        b"K\x00tb\x89U\x08\x00\x00\x80\x3f\x00\x00\x00\x40tb."
    )
    (tmp_path / "a.pkl").write_bytes(body)
    np.testing.assert_array_equal(read_model_file(tmp_path / "a.pkl").root, np.float32([1, 2]))


@pytest.mark.parametrize("dtype", ["f2", "f4", ">f4", "f8", "i8", "u1", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_files_are_what_numpy_reads(tmp_path: Path, dtype: str, order: Any) -> None:
    wanted = np.asarray(np.arange(12).reshape(3, 4) % 5, dtype=dtype, order=order)
    np.save(tmp_path / "a.npy", wanted)
    file = read_model_file(tmp_path / "a.npy")
    assert file.container == "npy"
    assert file.root.dtype == wanted.dtype.newbyteorder("=")
    np.testing.assert_array_equal(file.root, wanted)


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_npz_files_are_what_numpy_reads(tmp_path: Path, write: Callable[..., None]) -> None:
    write(tmp_path / "a.npz", a=np.arange(3.0), b=np.zeros((300, 400)), **{"c/d": np.ones((2, 2), np.int8)})
    file = read_model_file(tmp_path / "a.npz")
    assert file.container == "npz"
    assert list(file.root) == ["a", "b", "c/d"]
    np.testing.assert_array_equal(file.root["a"], [0, 1, 2])
    assert file.root["b"].shape == (300, 400)


def test_the_name_of_a_file_does_not_matter(tmp_path: Path) -> None:
    save({"a": torch.ones(2)}, tmp_path / "weights.npy")
    assert read_model_file(str(tmp_path / "weights.npy")).container == "torch-zip"


def test_a_module_drops_buffers_that_are_not_to_be_saved() -> None:
    kept, passing = _stored(1.0), _stored(2.0)
    module = Stranger(
        "torch_utils.persistence",
        "Layer",
        state={
            "_parameters": {"bias": None},
            "_buffers": {"kept": kept, "passing": passing},
            "_modules": OrderedDict(),
            "_non_persistent_buffers_set": {"passing"},
        },
    )
    assert module_tensors(module) == {"kept": kept}


def test_two_tensors_of_one_name_are_refused() -> None:
    inner = Stranger("torch_utils.persistence", "Inner", state={"_buffers": {"b": _stored(1.0)}})
    module = Stranger(
        "torch_utils.persistence",
        "Outer",
        state={"_buffers": {"a.b": _stored(1.0)}, "_modules": {"a": inner}},
    )
    with pytest.raises(PackSourceError, match=r"two tensors of the name a\.b"):
        module_tensors(module)


def _stored(value: float) -> StoredTensor:
    """A tensor that no file holds."""
    data = Span.of(torch.tensor([value]).numpy().tobytes())
    storage = Storage("0", torch.float32, 1, Path("nowhere")).place(data)
    return StoredTensor(torch.float32, (1,), (1,), 0, storage)


def test_a_path_with_nothing_there_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(PackMissingError, match=r"nowhere\.pt: there is no such file"):
        read_model_file(tmp_path / "nowhere.pt")


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>Quota exceeded", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git-lfs"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\x1f\x8b\x08 and so on", "is compressed"),
        (b"weights.index\0".ljust(257, b"\0") + b"ustar\x0000", "tar archive"),
        (b"hello, world", "is no model file"),
        (b"\x80\x01K\x01.", "is no pickle of protocol 2 to 5"),
    ],
)
def test_other_files_are_refused_with_what_they_are(tmp_path: Path, head: bytes, said: str) -> None:
    (tmp_path / "a.pt").write_bytes(head)
    with pytest.raises(PackSourceError, match=rf"a\.pt: .*{said}"):
        read_model_file(tmp_path / "a.pt")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackSourceError):
        read_model_file(tmp_path)


def test_an_archive_of_something_else_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(PackSourceError, match="no model in it"):
        read_model_file(tmp_path / "a.zip")


def test_tensors_stay_in_the_file_until_they_are_read(tmp_path: Path) -> None:
    """32 tensors of 4 MB; what one costs is let go before the next."""
    save({str(n): torch.full((1 << 20,), float(n)) for n in range(32)}, tmp_path / "a.pt")
    process = psutil.Process()
    before_mb = process.memory_info().rss / 1e6
    root = read_model_file(tmp_path / "a.pt").root
    assert process.memory_info().rss / 1e6 < before_mb + 20
    for n in range(32):
        assert root[str(n)].read()[-1] == n
        assert process.memory_info().rss / 1e6 < before_mb + 40


def test_reading_warns_of_nothing(folder: Path) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for tensor in module_tensors(read_model_file(folder / "nv_tiny_p3.pkl").root["G_ema"]).values():
            tensor.read()
    assert not said
