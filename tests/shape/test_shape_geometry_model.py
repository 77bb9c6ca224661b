from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from stit_vfx.errors import InternalError, PackFormatError
from stit_vfx.gan.geometry import GeometryConfig, GeometryEncoder, GeometrySynthesis
from stit_vfx.packs.geometry import GeometryModel
from stit_vfx.packs.model import Code, Direction
from stit_vfx.shape.guided import to_edges
from stit_vfx.shape.model import ShapeModel
from stit_vfx.shape.parts import LABELS, Parts
from stit_vfx.training.directions import default_directions

SIZE = 192
WHOLE = np.ones((SIZE, SIZE), np.float32)


@pytest.fixture(scope="module")
def geometry(model: ShapeModel) -> GeometryModel:
    torch.manual_seed(0)
    config = GeometryConfig(resolution=32, w_dim=16, channel_base=256, channel_max=16)
    return GeometryModel(model, GeometrySynthesis(config), GeometryEncoder(config), crop_size=SIZE)


@pytest.fixture
def code(geometry: GeometryModel, face) -> Code:
    return Code(np.zeros((geometry.num_ws, geometry.w_dim), np.float32), face(seed=1))


@pytest.fixture(scope="module")
def crop() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (np.array([0.6, 0.5, 0.45]) + rng.normal(0, 0.02, (SIZE, SIZE, 1))).astype(np.float32)


def direction(name: str) -> Direction:
    entry = next(d for d in default_directions() if d["name"] == name)
    return Direction(name, name, shape=entry["shape"], look=entry["look"])


def pictures(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    recon = np.random.default_rng(seed).random((32, 32, 3)).astype(np.float32)
    return recon, np.clip(recon + 0.1, 0, 1)


def test_a_shot_goes_through_all_of_it(geometry: GeometryModel, model: ShapeModel, face, quad) -> None:
    codes = [face({"mouthSmile": 0.1 * k}, seed=1) for k in range(3)]
    marks = np.stack([c.project(model.marks(c))[:, :2] for c in codes])
    shapes = geometry.fit(marks, np.ones(3))
    quads = np.stack([quad] * 3)
    maps = geometry.maps(shapes, quads)
    assert maps.shape == (3, 10, 32, 32)
    ws = geometry.encode(torch.zeros(3, 3, 32, 32), shapes, quads)
    assert ws.shape == (3, geometry.num_ws, geometry.w_dim)
    assert geometry.synthesize(ws, maps).shape == (3, 3, 32, 32)


def test_equal_codes_and_pictures_change_nothing(geometry, code, crop, quad) -> None:
    recon, _ = pictures()
    same = geometry.change(
        code,
        code,
        quad=quad,
        crop_code=crop,
        recon=recon,
        edited=recon,
        matte=WHOLE,
    )
    assert np.array_equal(same.edit, same.recon)
    assert same.flow is None


def test_equal_shapes_in_different_objects_change_nothing_either(geometry, code, crop, quad) -> None:
    recon, _ = pictures()
    other = Code(code.ws, code.shape.but(age=0.0))
    same = geometry.change(
        code,
        other,
        quad=quad,
        crop_code=crop,
        recon=recon,
        edited=recon,
        matte=WHOLE,
    )
    assert np.abs(same.edit - same.recon).max() < 1e-5
    assert same.flow is None or not same.flow.any()


def test_nothing_changes_at_the_border_of_the_matte(geometry, code, crop, quad) -> None:
    recon, edited = pictures()
    matte = np.zeros((SIZE, SIZE), np.float32)
    matte[30:160, 30:160] = 1
    after = geometry.move(code, [(direction("smile"), 1.0), (direction("yaw"), 0.5)])
    fields = geometry.change(code, after, quad=quad, crop_code=crop, recon=recon, edited=edited, matte=matte)
    outside = matte == 0
    assert np.abs(fields.edit - fields.recon)[outside].max() < 1e-4
    assert np.abs(fields.flow[outside]).max() == 0
    assert np.abs(fields.flow).max() > 1
    assert (fields.residual[outside] == 1).all()


def test_an_opened_mouth_lets_the_plates_detail_go(geometry, code, crop, quad) -> None:
    recon, edited = pictures()
    after = geometry.move(code, [(direction("mouth_open"), 1.0)])
    fields = geometry.change(
        code,
        after,
        quad=quad,
        crop_code=crop,
        recon=recon,
        edited=edited,
        matte=WHOLE,
    )
    assert fields.residual.min() < 0.2
    assert 50 < (fields.residual < 0.5).sum() < 0.1 * SIZE * SIZE


def test_looks_and_rows_add_up(geometry: GeometryModel, code: Code) -> None:
    vector = np.ones(geometry.w_dim, np.float32)
    age = Direction("age", "age", vector=vector, shape={"age": 1.0}, look={"age": 1.0}, scale=2.0)
    moved = geometry.move(code, [(age, 0.25), (direction("smile"), 0.5)])
    assert moved.look == {"age": 0.5}
    assert moved.shape.age == 0.5
    assert np.allclose(moved.ws, 0.5)


def test_style_directions_and_missing_shapes_are_refused(geometry: GeometryModel, code: Code) -> None:
    style = Direction("s", "s", "style", np.ones(8, np.float32))
    with pytest.raises(PackFormatError):
        geometry.move(code, [(style, 1.0)])
    with pytest.raises(InternalError):
        geometry.maps(None, np.zeros((1, 4, 2)))


class Pointed:
    """A reader that knows what it reads: a hand before the chin, skin in the middle, a wall around."""

    def parts(self, crop_code: np.ndarray) -> Parts:
        size = len(crop_code)
        y, x = np.mgrid[:size, :size]
        labels = np.where(np.hypot(x - 96, y - 92) < 75, LABELS.index("skin"), LABELS.index("background"))
        return Parts.from_labels(np.where(self.hand(size), LABELS.index("hand"), labels))

    def parts_at_edges(self, crop_code: np.ndarray) -> Parts:
        return to_edges(self.parts(crop_code), crop_code)

    @staticmethod
    def hand(size: int) -> np.ndarray:
        y, x = np.mgrid[:size, :size]
        return (np.abs(x - 100) < 18) & (y > 135)


@pytest.fixture
def reading(geometry: GeometryModel):
    geometry.reader = Pointed()
    yield geometry
    geometry.reader = None


def test_a_hand_before_the_chin_and_the_wall_behind_keep_their_bits(reading, code, crop, quad) -> None:
    recon, _ = pictures()
    hand = Pointed.hand(SIZE)
    crop = np.where(hand[..., None], np.float32(0.2), crop)
    after = reading.move(code, [(direction("mouth_open"), 1.0), (direction("age"), 0.8)])
    fields = reading.change(code, after, quad=quad, crop_code=crop, recon=recon, edited=recon, matte=WHOLE)
    deep = cv2.erode(hand.astype(np.uint8), np.ones((9, 9))) > 0
    wall = cv2.erode((reading.parts(crop).of("background") > 0.5).astype(np.uint8), np.ones((41, 41))) > 0
    for still in (deep, wall):
        assert still.sum() > 300
        assert np.array_equal(fields.edit[still], crop[still])
        assert not fields.flow[still].any()
    cheek = np.s_[100:125, 60:80]
    assert np.linalg.norm(fields.flow[cheek], axis=2).mean() > 0.5


def test_who_cannot_read_crops_moves_all_of_them(geometry, code, crop, quad) -> None:
    recon, _ = pictures()
    after = geometry.move(code, [(direction("mouth_open"), 1.0)])
    fields = geometry.change(code, after, quad=quad, crop_code=crop, recon=recon, edited=recon, matte=WHOLE)
    assert np.linalg.norm(fields.flow[Pointed.hand(SIZE)], axis=1).mean() > 1


def test_an_older_jaw_leaves_the_ears_and_what_they_hang_on(reading, code, crop, quad) -> None:
    recon, _ = pictures()
    after = reading.move(code, [(direction("age"), 0.8), (direction("smile"), -0.8)])
    fields = reading.change(code, after, quad=quad, crop_code=crop, recon=recon, edited=recon, matte=WHOLE)
    pace = np.linalg.norm(fields.flow, axis=2)
    for side in (-1, 1):
        # The ear's middle, 7.4 cm beside the head's and 1.5 above; the code's middle and px per cm are known.
        x, y = SIZE / 2 + side * 7.4 * SIZE / 21, SIZE * 0.48 - 1.5 * SIZE / 21
        assert pace[round(y) - 20 : round(y) + 30, round(x) - 4 : round(x) + 4].max() < 0.3
    assert pace[100:125, 60:80].mean() > 0.5
