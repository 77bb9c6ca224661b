import json
from dataclasses import replace
from hashlib import sha256

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from stit_vfx.errors import PackFormatError
from stit_vfx.packs.load import load_pack
from stit_vfx.packs.model import Code, Direction
from stit_vfx.packs.plain import PlainModel


@pytest.fixture(scope="module")
def pack(tmp_path_factory, make_pack):
    return load_pack(make_pack(tmp_path_factory.mktemp("packs") / "tiny"))


def _rewrite(folder, file, change):
    """Change a weight file and record its new sum, as a broken converter would."""
    path = folder / file
    path.write_bytes(_saved(change(load_file(path)), folder))
    data = json.loads((folder / "pack.json").read_text())
    data["sha256"][file] = sha256(path.read_bytes()).hexdigest()
    (folder / "pack.json").write_text(json.dumps(data))


def _saved(tensors, folder):
    save_file(tensors, folder / "scratch")
    return (folder / "scratch").read_bytes()


def test_a_pack_opens_ready_to_use(pack):
    assert isinstance(pack.model, PlainModel)
    assert (pack.model.resolution, pack.model.num_ws, pack.model.w_dim) == (64, 10, 32)
    assert pack.model.schedule == {"steps": 40, "stitch_steps": 10}
    assert pack.parser is pack.perceptual is pack.identity is None
    assert set(pack.sha256) == {"generator.safetensors", "encoder.safetensors", "directions.safetensors"}
    assert not pack.model.network.training
    assert not any(p.requires_grad for p in pack.model.network.parameters())


def test_weights_are_those_of_the_file(pack):
    stored = load_file(pack.folder / "generator.safetensors")
    state = pack.model.network.state_dict()
    assert stored.keys() == state.keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in stored.items())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: {k: v for k, v in t.items() if k != "mapping.w_avg"}, "has no tensor mapping.w_avg"),
        (lambda t: {**t, "extra": torch.zeros(1)}, "nothing uses, extra"),
        (lambda t: {**t, "synthesis.b4.const": torch.zeros(8, 4, 4)}, r"\(8, 4, 4\) where \(16, 4, 4\)"),
    ],
)
def test_weights_that_do_not_fit_are_named(tiny, change, words):
    _rewrite(tiny, "generator.safetensors", change)
    with pytest.raises(PackFormatError, match=words):
        load_pack(tiny)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: {k: v for k, v in t.items() if k != "one"}, "no tensor one for direction smile"),
        (lambda t: {**t, "one": torch.zeros(10, 32)}, r"smile is \(10, 32\) where \(32,\)"),
        (lambda t: {**t, "rows": torch.full((10, 32), torch.nan)}, "rows is not finite"),
    ],
)
def test_directions_that_do_not_fit_are_named(tiny, change, words):
    _rewrite(tiny, "directions.safetensors", change)
    with pytest.raises(PackFormatError, match=words):
        load_pack(tiny)


def test_half_precision_weights_run_in_single(tiny):
    _rewrite(
        tiny,
        "encoder.safetensors",
        lambda t: {k: v.half() if v.is_floating_point() else v for k, v in t.items()},
    )
    assert next(load_pack(tiny).model.encoder.parameters()).dtype == torch.float32


def test_encoding_does_not_depend_on_the_batch(pack):
    crops = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    quads = np.zeros((3, 4, 2))
    together = pack.model.encode(crops, None, quads)
    assert together.shape == (3, 10, 32)
    assert torch.equal(together[1:2], pack.model.encode(crops[1:2], None, quads[1:2]))


def _code(seed=0):
    return Code(np.random.default_rng(seed).normal(size=(10, 32)).astype(np.float32))


def test_edits_add_up_in_any_order(pack):
    moves = [(pack.directions["smile"], 0.7), (pack.directions["rows"], -0.4), (pack.directions["lips"], 0.3)]
    a, b = pack.model.move(_code(), moves), pack.model.move(_code(), moves[::-1])
    assert np.array_equal(a.ws, b.ws)
    assert np.array_equal(a.style, b.style)
    stored = load_file(pack.folder / "directions.safetensors")
    expected = _code().ws + 0.7 * 0.5 * stored["one"].numpy()
    expected[[0, 3]] += -0.4 * stored["rows"].numpy()[[0, 3]]
    np.testing.assert_allclose(a.ws, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(a.style, 0.3 * stored["channels"].numpy(), rtol=1e-6)


def test_an_edit_may_be_limited_to_layers(pack):
    moved = pack.model.move(_code(), [(replace(pack.directions["smile"], layers=(2,)), 1.0)])
    different = np.any(moved.ws != _code().ws, axis=1)
    assert different.tolist() == [row == 2 for row in range(10)]


def test_a_true_w_plus_direction_keeps_its_rows(pack):
    rows = np.random.default_rng(1).normal(size=(10, 32))
    moved = pack.model.move(_code(), [(Direction("d", "d", "w+", rows), 1.0)])
    np.testing.assert_allclose(moved.ws - _code().ws, rows, atol=1e-6)


def _picture(shift_px=0.0):
    """Smooth blobs (128, 128, 3), moved to the right inside a disc."""
    noise = np.random.default_rng(3).random((128, 128, 3)).astype(np.float32)
    picture = cv2.GaussianBlur(noise, (0, 0), 3)
    picture = (picture - picture.min()) / (picture.max() - picture.min())
    y, x = np.mgrid[:128, :128].astype(np.float32)
    inside = np.clip((45 - np.hypot(x - 64, y - 64)) / 12, 0, 1).astype(np.float32)
    return cv2.remap(picture, x - shift_px * inside, y, cv2.INTER_CUBIC), inside


def _change(pack, recon, edited, size=256):
    crop = cv2.resize(recon, (size, size), interpolation=cv2.INTER_CUBIC)
    matte = np.ones((size, size), np.float32)
    quad = np.array([[0, 0], [0, 99], [99, 99], [99, 0]], float)
    return pack.model.change(
        _code(), _code(1), quad=quad, crop_code=crop, recon=recon, edited=edited, matte=matte
    )


def test_flow_says_where_the_edit_takes_the_plate_from(pack):
    recon, _ = _picture()
    edited, inside = _picture(3.0)
    fields = _change(pack, recon, edited)
    assert fields.edit.shape == fields.recon.shape == (256, 256, 3)
    middle = cv2.resize(inside, (256, 256)) > 0.95
    # 3 px to the right at 128 px: the output takes the plate from 6 px to the left at 256.
    assert np.median(fields.flow[middle][:, 0]) == pytest.approx(-6.0, abs=0.6)
    assert np.median(np.abs(fields.flow[middle][:, 1])) < 0.5
    far = cv2.resize(inside, (256, 256)) == 0
    far &= cv2.erode(far.astype(np.uint8), np.ones((25, 25), np.uint8)) > 0
    assert np.abs(fields.flow[far]).max() < 1e-3


def test_an_edit_of_nothing_moves_nothing(pack):
    recon, _ = _picture()
    fields = _change(pack, recon, recon)
    assert not fields.flow.any()
    assert (fields.residual == 1).all()
    assert np.array_equal(fields.edit, fields.recon)


def test_detail_is_let_go_where_the_edit_shows_what_the_plate_does_not(pack):
    recon, _ = _picture()
    edited = recon.copy()
    edited[50:80, 40:90] = np.random.default_rng(5).random((30, 50, 3)).astype(np.float32)
    fields = _change(pack, recon, edited)
    assert fields.residual[110:150, 90:170].mean() < 0.6
    assert fields.residual[:60].min() > 0.99


def test_flow_does_not_depend_on_threads(pack):
    recon, edited = _picture()[0], _picture(3.0)[0]
    before = cv2.getNumThreads()
    try:
        flows = []
        for threads in (1, 2):
            cv2.setNumThreads(threads)
            flows.append(_change(pack, recon, edited).flow)
    finally:
        cv2.setNumThreads(before)
    assert np.array_equal(*flows)
