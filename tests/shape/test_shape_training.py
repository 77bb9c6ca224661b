from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from stit_vfx.errors import PackDamagedError, PackFormatError, PackMissingError
from stit_vfx.shape.network import ShapeNetwork, load_network, save_network
from stit_vfx.training.source import FaceSource


def obj(points: np.ndarray) -> str:
    lines = [f"v {x:.4f} {y:.4f} {z:.4f}" for x, y, z in points]
    return "\n".join([*lines, "vt 0 0", "f 1/1 2/1 3/1 4/1", "f 1/1 3/1 4/1"])


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder laid out as ICT-FaceKit, with four vertices."""
    folder = tmp_path / "kit" / "FaceXModel"
    folder.mkdir(parents=True)
    points = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float)
    (folder / "vertex_indices.json").write_text(json.dumps({"expressions": ["jawOpen", "mouthPucker"]}))
    (folder / "generic_neutral_mesh.obj").write_text(obj(points))
    for k in range(3):
        (folder / f"identity{k:03d}.obj").write_text(obj(points + np.array([0, 0, k])))
    (folder / "jawOpen.obj").write_text(obj(points + np.array([0, -1, 0])))
    (folder / "mouthPucker.obj").write_text(obj(points * 0.5))
    return tmp_path / "kit"


def test_a_checkout_is_read_as_differences_from_neutral(checkout: Path) -> None:
    source = FaceSource.load(checkout, modes=3)
    assert source.names == ("jawOpen", "mouthPucker")
    assert np.allclose(source.identity[2], [0, 0, 2])
    assert np.allclose(source.expression[0], [0, -1, 0])
    assert source.triangles.tolist() == [[0, 1, 2], [0, 2, 3], [0, 2, 3]]
    mixed = source.vertices(np.array([0.0, 1.0, 0.0]), np.array([0.5, 0.0]))
    assert np.allclose(mixed[1], [1, -0.5, 1])


def test_an_archive_reads_like_the_checkout(checkout: Path, tmp_path: Path) -> None:
    source = FaceSource.load(checkout, modes=3)
    arrays = {"neu": source.neutral, "ID": source.identity, "EX": source.expression, "tri": source.triangles}
    np.savez(tmp_path / "kit.npz", names=np.array(source.names), **arrays)
    again = FaceSource.load(tmp_path / "kit.npz", modes=2)
    assert len(again.identity) == 2
    assert np.array_equal(again.triangles, source.triangles)
    assert again.names == source.names


def test_sources_that_are_not_there_or_not_whole_are_refused(checkout: Path, tmp_path: Path) -> None:
    with pytest.raises(PackMissingError):
        FaceSource.load(tmp_path / "nowhere")
    (checkout / "FaceXModel" / "jawOpen.obj").unlink()
    with pytest.raises(PackDamagedError, match="jawOpen"):
        FaceSource.load(checkout, modes=3)
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(PackFormatError):
        FaceSource.load(tmp_path / "other.npz")


def test_a_network_comes_back_from_its_file(tmp_path: Path) -> None:
    import torch

    network = ShapeNetwork(("jawOpen", "mouthSmile_L"), seed=3)
    network.landmarks.data.normal_(0, 20)
    save_network(network, tmp_path / "shape.safetensors")
    again = load_network(tmp_path / "shape.safetensors")
    points = torch.linspace(-60, 60, 40).reshape(20, 2)
    assert again.expressions == network.expressions
    assert torch.equal(again.landmarks, network.landmarks)
    assert torch.allclose(again(points), network(points), atol=5e-3)


@pytest.mark.slow
@pytest.mark.skipif(
    "STIT_FACEKIT" not in os.environ, reason="needs the face model: set STIT_FACEKIT to its path"
)
def test_the_shipped_weights_are_as_good_as_the_model_card_says(weights_path: Path) -> None:
    from stit_vfx.training.shape_chart import unfold
    from stit_vfx.training.shape_network import measure

    source = FaceSource.load(os.environ["STIT_FACEKIT"])
    report = measure(load_network(weights_path), source)
    assert report.mean_mm < 0.8
    assert report.p95_mm < 1.8
    assert report.landmarks_mean_mm < 0.5
    assert unfold(source).folded < 0.03


@pytest.mark.slow
@pytest.mark.skipif(
    "STIT_FACEKIT" not in os.environ, reason="needs the face model: set STIT_FACEKIT to its path"
)
def test_a_training_that_was_cut_off_ends_as_if_it_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stit_vfx.training import shape_network

    monkeypatch.setattr(shape_network, "_CHECKPOINT_EVERY", 4)
    source = FaceSource.load(os.environ["STIT_FACEKIT"])
    whole = shape_network.train(source, steps=8, batch=64)
    stopped = tmp_path / "state.pt"
    real_range = shape_network._batches

    def cut(*args, **kwargs):
        for k, batch in enumerate(real_range(*args, **kwargs)):
            if k == 5:
                raise KeyboardInterrupt
            yield batch

    monkeypatch.setattr(shape_network, "_batches", cut)
    with pytest.raises(KeyboardInterrupt):
        shape_network.train(source, steps=8, batch=64, checkpoint=stopped)
    monkeypatch.setattr(shape_network, "_batches", real_range)
    resumed = shape_network.train(source, steps=8, batch=64, checkpoint=stopped)
    for ours, theirs in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert (ours == theirs).all()
