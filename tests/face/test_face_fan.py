"""FAN: weight files that a user brings."""

from __future__ import annotations

import importlib
import socket
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from stit_vfx.errors import MissingPartError, PackSourceError, StitError
from stit_vfx.face import fan_weights
from stit_vfx.face.detect import make_finder


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return fan_weights.weights_folder()


@pytest.fixture
def small_networks(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, tuple[int, ...]]]:
    """Networks of two tensors in place of the library's, so that files are small."""
    shapes = {
        "s3fd": {"conv1_1.weight": (4, 3), "conv3_3_norm.weight": (4,)},
        "depth": {"layer3.35.conv1.weight": (2,), "conv1.weight": (3, 71), "bn1.num_batches_tracked": ()},
        "FAN4": {"m0.b1_4.conv1.weight": (5,), "l0.weight": (2, 3), "bn1.num_batches_tracked": ()},
    }
    monkeypatch.setattr(fan_weights, "network_shapes", shapes.__getitem__)
    return shapes


def weights_of(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return {name: torch.randn(shape) for name, shape in shapes.items()}


def test_files_are_called_as_the_library_calls_them() -> None:
    api = importlib.import_module("face_alignment.api")
    sfd = importlib.import_module("face_alignment.detection.sfd.sfd_detector")
    urls = {**api.models_urls, **sfd.models_urls}
    names = {"2DFAN4": "2DFAN-4", "3DFAN4": "3DFAN-4", "depth": "depth", "s3fd": "s3fd"}
    assert {kind: urls[name].rsplit("/", 1)[1] for kind, name in names.items()} == dict(fan_weights.FILES)


def test_the_librarys_own_networks_are_recognised_by_what_is_in_them() -> None:
    for kind in ("s3fd", "depth", "FAN4"):
        shapes = fan_weights.network_shapes(kind)
        assert fan_weights.recognise(shapes) == kind
        without = {name: shape for name, shape in shapes.items() if "num_batches" not in name}
        assert fan_weights.recognise(without) == kind
    assert fan_weights.recognise({"conv1.weight": (64, 3, 7, 7)}) is None


def test_a_file_goes_where_the_library_looks_and_going_twice_changes_nothing(
    home: Path, tmp_path: Path, small_networks: Any
) -> None:
    weights = weights_of(small_networks["FAN4"])
    torch.save(weights, tmp_path / "2DFAN4-mine.pth.tar")
    place = fan_weights.install(tmp_path / "2DFAN4-mine.pth.tar")
    assert place == home / "2DFAN4-11f355bf06.pth.tar"
    before = place.stat().st_mtime_ns
    assert fan_weights.install(tmp_path / "2DFAN4-mine.pth.tar", "FAN4") == place
    assert place.stat().st_mtime_ns == before
    loaded = torch.load(place, weights_only=True)
    assert all(torch.equal(loaded[name], value) for name, value in weights.items())


def test_the_depth_network_comes_as_the_library_opens_it(
    home: Path, tmp_path: Path, small_networks: Any
) -> None:
    weights = weights_of(small_networks["depth"])
    wrapped = {"state_dict": {f"module.{name}": value for name, value in weights.items()}, "epoch": 3}
    torch.save(wrapped, tmp_path / "depth.pth.tar")
    (installed,) = fan_weights.install_files([tmp_path / "depth.pth.tar"])
    assert installed.kind == "depth"
    loaded = torch.load(installed.path, weights_only=True)["state_dict"]
    assert loaded.keys() == weights.keys()


def test_another_file_in_its_place_is_kept(home: Path, tmp_path: Path, small_networks: Any) -> None:
    for seed in (0, 1):
        torch.save(weights_of(small_networks["s3fd"], seed), tmp_path / f"s3fd{seed}.pth")
    first = fan_weights.install(tmp_path / "s3fd0.pth").read_bytes()
    with pytest.raises(PackSourceError, match=r"another file is where s3fd1\.pth would go"):
        fan_weights.install(tmp_path / "s3fd1.pth")
    assert (home / fan_weights.FILES["s3fd"]).read_bytes() == first


def test_tensors_that_do_not_fit_are_named(home: Path, tmp_path: Path, small_networks: Any) -> None:
    wrong = {"conv1_1.weight": torch.zeros(4, 3), "conv3_3_norm.weight": torch.zeros(5), "x": torch.zeros(1)}
    torch.save(wrong, tmp_path / "s3fd.pth")
    said = r"conv3_3_norm\.weight is \(5,\) where \(4,\) is expected|nothing uses, x, and 1 more"
    with pytest.raises(PackSourceError, match=said):
        fan_weights.install(tmp_path / "s3fd.pth")
    assert not home.exists()


def test_a_landmark_network_of_fewer_stages_is_refused_by_what_it_lacks(home: Path, tmp_path: Path) -> None:
    shapes = fan_weights.network_shapes("FAN4")
    fewer = {name: torch.zeros(shape) for name, shape in shapes.items() if not name.startswith(("m3", "l3"))}
    torch.save(fewer, tmp_path / "2DFAN4.pth")
    with pytest.raises(PackSourceError, match=r"is not the FAN4 .* has no tensor l3\.bias, and \d+ more"):
        fan_weights.install_files([tmp_path / "2DFAN4.pth"])


def test_the_same_tensors_in_a_file_of_others_become_tensors_alone(
    home: Path, tmp_path: Path, small_networks: Any
) -> None:
    weights = weights_of(small_networks["s3fd"])
    torch.save(weights, tmp_path / "s3fd.pth")
    home.mkdir(parents=True)
    torch.save({"state_dict": weights, "epoch": 40}, home / fan_weights.FILES["s3fd"])
    assert torch.load(fan_weights.install(tmp_path / "s3fd.pth"), weights_only=True).keys() == weights.keys()


def test_networks_that_look_alike_are_told_apart_by_their_files_name(
    home: Path, tmp_path: Path, small_networks: Any
) -> None:
    weights = weights_of(small_networks["FAN4"])
    torch.save(weights, tmp_path / "fan.pth")
    with pytest.raises(PackSourceError, match=r"Name the file 2DFAN4\.pth or 3DFAN4\.pth"):
        fan_weights.install(tmp_path / "fan.pth")
    torch.save(weights, tmp_path / "3dfan4.pth")
    assert fan_weights.install(tmp_path / "3dfan4.pth").name == fan_weights.FILES["3DFAN4"]


def test_a_wrong_file_is_refused_and_nothing_is_written(
    home: Path, tmp_path: Path, small_networks: Any
) -> None:
    torch.save(weights_of(small_networks["s3fd"]), tmp_path / "good.pth")
    torch.save({"a": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(PackSourceError, match="holds none of FAN's networks"):
        fan_weights.install_files([tmp_path / "good.pth", tmp_path / "other.pth"])
    assert not home.exists()


def test_finders_say_what_they_lack(home: Path) -> None:
    assert fan_weights.missing("fan-3d") == [fan_weights.FILES["s3fd"], fan_weights.FILES["3DFAN4"]]
    with pytest.raises(MissingPartError, match=r"s3fd-619a316812.pth.*stit packs convert fan"):
        make_finder("fan-3d")


def test_archives_are_not_trusted(home: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "2DFAN4.pth", "w") as archive:
        archive.writestr("x/data.pkl", b"cos\nsystem\n(S'false'\ntR.")
        archive.writestr("x/version", b"3")
    with pytest.raises(StitError):
        fan_weights.install(tmp_path / "2DFAN4.pth")
    assert not home.exists()
