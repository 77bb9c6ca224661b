"""FAN through its own library: files as large as the real ones, and its code fed with known landmarks."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fan_stand_ins import KnownBoxes, KnownHeat, Scene, ramp_picture

from stit_vfx.errors import MissingPartError, PackSourceError
from stit_vfx.face import fan_weights
from stit_vfx.face.detect import make_finder
from stit_vfx.face.fan_backend import FanFinder, peaks
from stit_vfx.face.track import FacePick, pick_face, track_faces

Made = tuple[FanFinder, Scene]


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setattr("face_alignment.utils.download_url_to_file", refuse)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch, published: Any) -> Callable[..., Made]:
    """library(kind, **scene) is a finder of the library's own classes whose two networks know the answer."""

    def made(kind: str = "fan", **size: int) -> Made:
        from face_alignment.api import FaceAlignment
        from face_alignment.detection.sfd import sfd_detector

        scene = Scene(published["landmarks"][0], **size)
        monkeypatch.setattr(fan_weights, "missing", lambda _: [])
        monkeypatch.setattr(FaceAlignment, "_load_native", lambda *_: KnownHeat(scene))
        monkeypatch.setattr(sfd_detector, "s3fd", lambda: KnownBoxes(scene))
        monkeypatch.setattr(sfd_detector.torch, "load", lambda *_, **__: {})
        return FanFinder("cpu", kind), scene

    return made


@pytest.mark.parametrize("kind", ["fan", "fan-3d"])
def test_landmarks_that_are_known_come_back_to_a_fiftieth_of_a_pixel(
    library: Callable[..., Made], kind: str
) -> None:
    finder, scene = library(kind)
    found = finder.find(scene.picture, describe=False)
    away = np.stack([one.landmarks - true for one, true in zip(found, scene.faces()[::-1], strict=True)])
    assert np.sqrt((away**2).mean()) < 0.02
    assert np.abs(away).max() < 0.05


@pytest.mark.slow  # The library compiles its decoding first.
def test_the_library_alone_agrees_as_far_as_it_rounds(library: Callable[..., Made]) -> None:
    finder, scene = library()
    ours = finder.find(scene.picture, describe=False)[::-1]
    theirs = finder._net.get_landmarks_from_image(
        scene.picture, detected_faces=[np.array([*box, 1.0]) for box in scene.boxes()]
    )
    away = np.stack([each - one.landmarks for each, one in zip(theirs, ours, strict=True)])
    # It rounds to a quarter of a heat map's pixel, which is 4 px here, and down to a pixel of the frame.
    assert np.abs(away.mean(axis=(0, 1))).max() < 0.6
    assert 0.3 < np.sqrt((away**2).mean()) < 1.5


def test_the_square_is_the_librarys_own(
    library: Callable[..., Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    from face_alignment.utils import crop

    finder, _ = library()
    smooth, box, seen = ramp_picture(640, 360), (200.0, 100.0, 330.0, 240.0), []
    monkeypatch.setattr(finder, "_heat", lambda given: (seen.append(given), np.ones((68, 64, 64)))[1])
    finder._detection(smooth, box, 0.9)
    theirs = crop(smooth, torch.tensor([265.0, 170.0 - 0.12 * 140]), (130.0 + 140.0) / 195)
    # Theirs begins at a whole pixel of the frame; one is 0.4 and 0.7 of a code value here.
    assert np.abs(seen[0] - theirs)[8:-8, 8:-8].mean() < 0.6


def test_sides_of_the_face_keep_their_names_through_the_mirror(library: Callable[..., Made]) -> None:
    finder, scene = library()
    heat = KnownHeat.forward
    seen: list[bool] = []

    def watched(self: KnownHeat, crops: torch.Tensor) -> list[torch.Tensor]:
        seen.append(bool(crops[0, 0, 128, 10] > crops[0, 0, 128, -10]))
        return heat(self, crops)

    KnownHeat.forward = watched  # type: ignore[method-assign]
    try:
        found = finder.find(scene.picture, describe=False)
    finally:
        KnownHeat.forward = heat  # type: ignore[method-assign]
    assert seen == [False, True] * 2
    assert all(one.landmarks[36, 0] < one.landmarks[45, 0] for one in found)


def test_a_wide_frame_is_searched_small_and_its_landmarks_are_its_own(library: Callable[..., Made]) -> None:
    finder, scene = library(width=3840, height=2160)
    net, searched = finder._net.face_detector.face_detector, []
    net.register_forward_pre_hook(lambda _, given: searched.append(tuple(given[0].shape)))
    found = finder.find(scene.picture, describe=False)
    assert searched == [(1, 3, 900, 1600)]
    for one, true in zip(found, scene.faces()[::-1], strict=True):
        assert np.abs(one.landmarks - true).max() < 0.3  # px of 3840; the face is 760 px wide


def test_a_face_at_the_edge_of_the_frame_is_found_where_it_is(library: Callable[..., Made]) -> None:
    finder, scene = library()
    scene._faces = [scene._faces[0] - [110, 60], scene._faces[1] + [190, 120]]
    found = finder.find(scene.picture, describe=False)
    for one, true in zip(found, scene.faces()[::-1], strict=True):
        assert np.abs(one.landmarks - true).max() < 0.4  # what the stand-in reads off a cut ramp


@pytest.mark.parametrize("kind", ["fan", "fan-3d"])
def test_faces_are_followed_picked_and_steady(
    library: Callable[..., Made], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    finder, scene = library(kind)
    monkeypatch.setattr(finder, "describe", lambda *_: None)

    def frames() -> Any:
        for frame in range(1001, 1009):
            scene.frame = frame - 1001
            yield frame, scene.picture

    tracks = track_faces(frames(), finder)
    assert [track.found.all() for track in tracks] == [True, True]
    scene.frame = 0
    left = pick_face(tracks, FacePick(point=(150.0, 160.0), frame=1001))
    for row, landmarks in enumerate(left.landmarks):
        scene.frame = row
        assert np.abs(landmarks - scene.faces()[0]).max() < 0.05


def test_a_face_is_followed_by_a_look_at_its_surroundings_alone(library: Callable[..., Made]) -> None:
    finder, scene = library(width=1920, height=1080)
    searched: list[tuple[int, ...]] = []
    net = finder._net.face_detector.face_detector
    net.register_forward_pre_hook(lambda _, given: searched.append(tuple(given[0].shape)))
    for face in scene.faces():
        near = finder.follow(scene.picture, face + np.array([19, -14]))
        assert near is not None
        assert np.abs(near.landmarks - face).max() < 0.1
    assert finder.follow(scene.picture, scene.faces()[1] + np.array([0, 450])) is None
    assert searched == [(1, 3, 360, 360)] * 3


def test_an_empty_frame_has_no_face(library: Callable[..., Made], monkeypatch: pytest.MonkeyPatch) -> None:
    finder, scene = library()
    monkeypatch.setattr(scene, "boxes", lambda: np.zeros((0, 4)))
    assert finder.find(scene.picture) == []


@pytest.mark.parametrize("sigma", [0.8, 1.0, 1.75, 3.25])
def test_the_top_of_a_spot_of_any_width_is_exact(sigma: float) -> None:
    places = np.random.default_rng(1).uniform(0, 63, (200, 2))
    rows, columns = np.mgrid[:64, :64]
    heat = np.exp(
        -((columns - places[:, :1, None]) ** 2 + (rows - places[:, 1:, None]) ** 2) / (2 * sigma**2)
    )
    tolerance = 0.03 if sigma < 1 else 1e-3  # narrow spots fall below a thousandth within the window
    assert np.abs(peaks(heat.astype(np.float32)) - places).max() < tolerance


def test_noise_moves_a_top_less_than_it_moves_the_highest_pixel() -> None:
    rng = np.random.default_rng(2)
    places = rng.uniform(10, 53, (400, 2))
    rows, columns = np.mgrid[:64, :64]
    heat = np.exp(-((columns - places[:, :1, None]) ** 2 + (rows - places[:, 1:, None]) ** 2) / 6)
    away = peaks((heat + rng.normal(0, 0.03, heat.shape)).astype(np.float32)) - places
    assert np.sqrt((away**2).mean()) < 0.04


@pytest.mark.parametrize("flat", [0.0, -1.0, 1.0])
def test_a_map_without_a_spot_gives_its_highest_pixel(flat: float) -> None:
    assert peaks(np.full((2, 64, 64), flat, np.float32)).tolist() == [[0, 0], [0, 0]]


def test_a_library_that_looks_elsewhere_is_not_asked(
    library: Callable[..., Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        __import__("face_alignment").api.models_urls, "3DFAN-4", "https://example.org/3DFAN4-0000000000.zip"
    )
    library("fan")
    with pytest.raises(MissingPartError, match=r"looks for .*3DFAN4-0000000000\.zip"):
        library("fan-3d")


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"cos\nsystem\n(S'false'\ntR.", "other"])
def test_files_that_are_no_weights_are_told_without_being_run(
    content: bytes | str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    fan_weights.weights_folder().mkdir(parents=True)
    for kind in ("s3fd", "2DFAN4"):
        if isinstance(content, bytes):
            fan_weights.weights_path(kind).write_bytes(content)
        else:
            torch.save({"a": torch.zeros(1)}, fan_weights.weights_path(kind))
    with pytest.raises(PackSourceError, match="FAN's weight files cannot be opened"):
        make_finder("fan")


@pytest.mark.parametrize("home", ["~/torch", "", "relative"])
def test_unusual_folders_are_read_as_torch_reads_them(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", home)
    assert fan_weights.weights_folder() == Path(torch.hub.get_dir(), "checkpoints")


def test_cudnn_is_as_it_was(library: Callable[..., Made]) -> None:
    import face_alignment

    finder, scene = library()
    real = finder._net.face_detector.detect_from_image

    def loud(image: np.ndarray) -> Any:
        torch.backends.cudnn.benchmark = True
        return real(image)

    assert face_alignment is not None
    before, finder._net.face_detector.detect_from_image = torch.backends.cudnn.benchmark, loud
    finder.find(scene.picture, describe=False)
    assert torch.backends.cudnn.benchmark == before


# Files of the real size --------------------------------------------------------------------------------


def real_weights(kind: str) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(len(kind))
    return {
        name: torch.randn(shape, generator=generator) * 0.02 + ("running_var" in name)
        if shape
        else torch.tensor(0)
        for name, shape in fan_weights.network_shapes(kind).items()
    }


@pytest.mark.slow
@pytest.mark.parametrize(("finder", "landmarks"), [("fan", "2DFAN4"), ("fan-3d", "3DFAN4")])
def test_files_of_the_real_size_are_installed_and_loaded_offline(
    finder: str, landmarks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    s3fd, fan = real_weights("s3fd"), real_weights("FAN4")
    for name in [each for each in s3fd if each.endswith("_conf.bias")]:
        s3fd[name][:] = torch.tensor([50.0] * (len(s3fd[name]) - 1) + [-50.0])  # nothing is a face
    torch.save(s3fd, tmp_path / "detector.pth", _use_new_zipfile_serialization=False)
    torch.save({"state_dict": {f"module.{k}": v for k, v in fan.items()}}, tmp_path / f"{landmarks}-x.pth")
    with pytest.raises(MissingPartError, match="s3fd"):
        make_finder(finder)
    done = fan_weights.install_files([tmp_path / "detector.pth", tmp_path / f"{landmarks}-x.pth"])
    assert [each.kind for each in done] == ["s3fd", landmarks]
    made = make_finder(finder)
    assert isinstance(made, FanFinder)
    assert set(made.sha256) == {fan_weights.FILES["s3fd"], fan_weights.FILES[landmarks]}
    _same(made._net.face_alignment_net, fan)
    _same(made._net.face_detector.face_detector, s3fd)
    assert made.find(ramp_picture(96, 64), describe=False) == []
    assert made._heat(ramp_picture(256, 256).astype(np.float32)).shape == (68, 64, 64)
    assert not [path for path in (tmp_path / "torch").rglob("*") if path.is_file() and path.suffix == ".bin"]


@pytest.mark.slow
def test_the_depth_network_of_the_real_size_opens_in_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import face_alignment

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    depth = real_weights("depth")
    torch.save({"state_dict": {f"module.{k}": v for k, v in depth.items()}, "epoch": 1}, tmp_path / "d.tar")
    place = fan_weights.install(tmp_path / "d.tar", "depth")
    torch.load(place, weights_only=True)
    net = face_alignment.FaceAlignment._load_native_depth(None, "cpu", torch.float32)
    _same(net, depth)


def _same(network: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    for name, value in network.state_dict().items():
        assert torch.equal(value, weights[name]), name
