import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from stit_vfx.errors import PackDamagedError
from stit_vfx.gan.face_reader import FaceReader, ReaderConfig, places
from stit_vfx.packs.reader import CropReader
from stit_vfx.packs.schema import read_spec
from stit_vfx.shape.parts import LABELS
from stit_vfx.training.dataset import make_dataset
from stit_vfx.training.export import add_reader
from stit_vfx.training.face_reader import Recipe, Samples, batch_at, seen_otherwise, train, trained

RECIPE = Recipe(steps=4, batch=2, size=64)


@pytest.fixture(scope="module")
def faces(tiny_source, tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("faces")
    make_dataset(tiny_source, folder, images=8, size=64, say=lambda line: None)
    return folder


@pytest.fixture(scope="module")
def run(faces, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train(faces, folder, RECIPE, held_out=2, say=lambda line: None)
    return folder


def test_landmarks_move_with_what_the_picture_shows(faces):
    """A bright dot painted at a landmark is where the moved landmark says."""
    samples = Samples.load(faces)
    marks = samples.landmarks[3]
    rng = np.random.default_rng(1)
    for number in (30, 48, 54):
        x, y = np.rint(marks[number]).astype(int)
        dotted = np.zeros((64, 64, 3), np.uint8)
        dotted[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] = 255
        found = []
        for _ in range(40):
            picture, _, placed = seen_otherwise(rng, dotted, np.ones((64, 64), np.uint8), marks, 64)
            expected = (placed[number] + 0.5) * 64 - 0.5
            bright = picture.mean(-1)
            near = np.clip(np.rint(expected).astype(int), 0, 63)
            found.append(bright[near[1], near[0]] - np.median(bright))
        assert np.median(found) > 0.15


def test_labels_stay_labels(faces):
    samples = Samples.load(faces)
    crops, labels, marks = batch_at(samples, RECIPE, 0, 2)
    assert crops.shape == (2, 3, 64, 64)
    assert crops.abs().max() <= 1
    assert labels.shape == (2, 32, 32)
    assert set(labels.unique().tolist()) <= {*range(len(LABELS)), 255}
    assert marks.shape == (2, 68, 2)


def test_batches_are_a_function_of_seed_and_step(faces):
    samples = Samples.load(faces)
    first, again, other = (batch_at(samples, RECIPE, step, 2)[0] for step in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_run_that_was_cut_off_ends_with_the_same_weights(faces, run, tmp_path, monkeypatch):
    monkeypatch.setattr("stit_vfx.training.face_reader.KEEP_EVERY", 2)

    class CutError(Exception):
        pass

    def stop_at_two(line):
        if "held out" in line:
            raise CutError

    with pytest.raises(CutError):
        train(faces, tmp_path, RECIPE, held_out=2, say=stop_at_two)
    train(faces, tmp_path, RECIPE, held_out=2, say=lambda line: None)
    whole, resumed = (trained(folder)[0].state_dict() for folder in (run, tmp_path))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_damaged_checkpoint_is_told(run, tmp_path):
    (tmp_path / "reader.pt").write_bytes((run / "reader.pt").read_bytes()[:1000])
    with pytest.raises(PackDamagedError):
        trained(tmp_path)


def test_the_reader_is_added_to_a_pack(run, tmp_path, shipped_shape):
    for path in shipped_shape.parent.iterdir():
        if path.name != "reader.safetensors":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    described = json.loads((tmp_path / "pack.json").read_text())
    described.pop("reader", None)
    described["sha256"].pop("reader.safetensors", None)
    (tmp_path / "pack.json").write_text(json.dumps(described))
    add_reader(tmp_path, run)
    spec = read_spec(tmp_path)
    assert (spec.reader.resolution, spec.made_by["reader"]["steps"]) == (64, 4)
    stored = load_file(tmp_path / "reader.safetensors")
    assert {str(t.dtype) for t in stored.values()} == {"torch.float16", "torch.int64"}
    reader = CropReader.of(spec.reader, tmp_path, sha256=spec.sha256["reader.safetensors"])
    crop = np.random.default_rng(0).random((200, 200, 3), np.float32)
    shares = reader.parts(crop).shares
    assert shares.shape == (len(LABELS), 200, 200)
    np.testing.assert_allclose(shares.sum(0), 1, atol=1e-5)


def test_places_are_the_mean_of_the_heat():
    heat = torch.full((1, 2, 8, 8), -1e4)
    heat[0, 0, 2, 6] = 0.0  # one cell
    heat[0, 1, 3, 1] = heat[0, 1, 3, 3] = 0.0  # two cells, two apart
    found, spread = places(heat)
    np.testing.assert_allclose(found[0], [[6.5 / 8 - 0.5, 2.5 / 8 - 0.5], [2.5 / 8 - 0.5, 3.5 / 8 - 0.5]])
    np.testing.assert_allclose(spread[0], [0, (1 / 8) ** 2], atol=1e-6)


def test_the_network_takes_every_multiple_of_32():
    network = FaceReader(ReaderConfig(len(LABELS), (8, 8, 8, 8, 8))).eval()
    for size in (32, 96, 128):
        heat, scores = network(torch.zeros(1, 3, size, size))
        assert heat.shape == (1, 68, size // 4, size // 4)
        assert scores.shape == (1, len(LABELS), size // 2, size // 2)
