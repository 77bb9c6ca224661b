"""FAN: weight files brought by a user, and the library's own decoding fed with landmarks that are known."""

from __future__ import annotations

import importlib
import socket
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from stit_vfx.errors import MissingPartError, PackSourceError
from stit_vfx.face import fan_weights
from stit_vfx.face.detect import make_finder
from stit_vfx.face.fan_backend import FanFinder
from stit_vfx.face.track import FacePick, pick_face, track_faces

HEAT = 64


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
        "depth": {"layer3.35.conv1.weight": (2, 2), "fc.weight": (3,), "bn1.num_batches_tracked": ()},
        "FAN4": {"m3.b1_4.conv1.weight": (5,), "l3.weight": (2, 3), "bn1.num_batches_tracked": ()},
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


# The finder itself: only the two networks are replaced; mirroring, decoding and tracking are real. ----------


class Scene:
    """Two faces of known landmarks that drift apart; `offset` moves with the frame."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        base = np.stack([np.tile(np.linspace(-1, 1, 17), 4), np.repeat(np.linspace(-1, 1, 4), 17)], 1)
        self.base = base * 42 + rng.normal(0, 3, base.shape)
        self.frame = 0

    def faces(self) -> list[np.ndarray]:
        drift = np.array([1.37, 0.61]) * self.frame
        return [self.base + np.array([150, 160]) - drift, 1.2 * self.base + np.array([420, 190]) + drift]

    def boxes(self, _image: np.ndarray) -> list[np.ndarray]:
        return [np.array([*p.min(0) - 12, *p.max(0) + 12, 0.9]) for p in self.faces()]


class KnownHeat(nn.Module):
    """In place of FAN: heat maps whose peaks are the known landmarks of the faces, one after the other.

    The library's square around a box: 200 / 195 of its mean side, times two, raised by 0.12 of its height.
    """

    def __init__(self, scene: Scene) -> None:
        super().__init__()
        self.scene, self.calls = scene, 0

    def forward(self, crops: torch.Tensor) -> list[torch.Tensor]:
        from face_alignment.utils import flip

        number, mirrored = divmod(self.calls, 2)
        self.calls += 1
        faces = self.scene.faces()
        face, box = faces[number % 2], self.scene.boxes(np.zeros(0))[number % 2]
        side = (box[2] - box[0] + box[3] - box[1]) / 195 * 200
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2 - 0.12 * (box[3] - box[1])
        at = (face - [x, y]) / side * HEAT + HEAT / 2 - 0.5
        rows, columns = np.mgrid[:HEAT, :HEAT]
        heat = [np.exp(-((columns - px) ** 2 + (rows - py) ** 2) / 2) for px, py in at]
        out = torch.from_numpy(np.stack(heat).astype(np.float32))[None]
        return [flip(out, is_label=True) if mirrored else out]


@pytest.fixture(params=["fan", "fan-3d"])
def finder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[FanFinder, Scene]:
    """A finder of the library's own class, made without weights."""
    api = importlib.import_module("face_alignment.api")
    scene = Scene()
    monkeypatch.setattr(api.FaceAlignment, "_load_native", lambda *_: KnownHeat(scene))
    detector = importlib.import_module("face_alignment.detection.sfd.sfd_detector").SFDDetector
    monkeypatch.setattr(detector, "__init__", lambda self, **_: None)
    monkeypatch.setattr(detector, "reference_scale", 195)
    monkeypatch.setattr(detector, "detect_from_image", lambda _, image: scene.boxes(image))
    monkeypatch.setattr(fan_weights, "missing", lambda _: [])
    made = FanFinder("cpu", request.param)
    monkeypatch.setattr(made, "describe", lambda *_: None)
    return made, scene


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (360, 640, 3), np.uint8)


def test_landmarks_are_found_between_pixels(finder: tuple[FanFinder, Scene]) -> None:
    made, scene = finder
    small, large = scene.faces()
    found = made.find(picture(), describe=False)
    for one, true in zip(found, (large, small), strict=True):
        assert np.abs(one.landmarks - true).max() < 0.12  # px of the plate; a heat map's pixel is 2 to 3


def test_the_crop_is_the_librarys_own(
    finder: tuple[FanFinder, Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    from face_alignment.utils import crop

    made, _ = finder
    image, box, seen = picture(), np.array([200.0, 100.0, 330.0, 240.0, 0.9]), []
    smooth = np.asarray(
        np.broadcast_to(np.arange(640, dtype=np.uint8)[None, :, None] // 4, image.shape).copy()
    )
    monkeypatch.setattr(made, "_heat", lambda given: (seen.append(given), np.ones((68, HEAT, HEAT)))[1])
    made._detection(smooth, box)
    centre = torch.tensor([265.0, 170.0 - 0.12 * 140])
    theirs = crop(smooth, centre, (130.0 + 140.0) / 195)
    # Theirs begins at a whole pixel of the plate, a quarter of a code value of this ramp.
    assert np.abs(seen[0].astype(int) - theirs)[8:-8, 8:-8].mean() < 0.6


def test_faces_are_followed_and_picked_as_with_the_other_finder(finder: tuple[FanFinder, Scene]) -> None:
    made, scene = finder

    def frames() -> Any:
        for frame in range(1001, 1007):
            scene.frame = frame - 1001
            yield frame, picture(7)

    tracks = track_faces(frames(), made)
    assert len(tracks) == 2
    assert all(track.found.all() and len(track.frames) == 6 for track in tracks)
    scene.frame = 0
    left = pick_face(tracks, FacePick(point=(150.0, 160.0), frame=1001))
    assert np.abs(left.landmarks[0].mean(0) - scene.faces()[0].mean(0)).max() < 0.1
    assert pick_face(tracks, FacePick()).side > left.side
    step = np.diff(left.landmarks.mean(1), axis=0)
    np.testing.assert_allclose(step.mean(0), [-1.37, -0.61], atol=0.02)


def test_archives_are_not_trusted(home: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "2DFAN4.pth", "w") as archive:
        archive.writestr("x/data.pkl", b"cos\nsystem\n(S'false'\ntR.")
        archive.writestr("x/version", b"3")
    from stit_vfx.errors import StitError

    with pytest.raises(StitError):
        fan_weights.install(tmp_path / "2DFAN4.pth")
    assert not home.exists()
