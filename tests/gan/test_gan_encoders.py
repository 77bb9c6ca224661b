from dataclasses import replace

import pytest
import torch

from stit_vfx.gan.arcface import ArcFace, face_part
from stit_vfx.gan.e4e import Encoder, EncoderConfig, StyleHead, resize, upsample_add
from stit_vfx.gan.irse import BodyConfig, Unit

pytestmark = pytest.mark.usefixtures("gradients_only_where_named")

NARROW = BodyConfig(widths=(8, 8, 16, 16), depths=(1, 2, 2, 1), reduction=4)


@pytest.fixture(scope="module")
def encoder16(vectors):
    return vectors.fill(Encoder(EncoderConfig(num_ws=6)), "encoder.")


def test_published_names_and_shapes_are_kept(key_table):
    with torch.device("meta"):
        e4e, arcface = Encoder(EncoderConfig()), ArcFace()
    shapes = {name: list(t.shape) for name, t in e4e.state_dict().items()}
    assert shapes.pop("latent_avg") == [18, 512]
    assert shapes == key_table["e4e_encoder"]
    assert {k: list(t.shape) for k, t in arcface.state_dict().items()} == key_table["arcface_model_ir_se50"]


def test_encoder_agrees_with_reference(encoder16, vectors, close):
    encoder16.latent_avg.zero_()
    crop = vectors("e4e_io", "x256")
    close(encoder16(crop), vectors("e4e_io", "16/w_delta"), rtol=1e-4, atol=1e-4)
    for stage in (0, 3, 4):
        close(encoder16(crop, stage=stage), vectors("e4e_io", f"16/w_stage{stage}"), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("unit", [0, 6, 20, 23])
def test_body_features_agree_with_reference(encoder16, vectors, close, unit):
    (features,) = encoder16.taps(vectors("e4e_io", "x256"), [unit])
    stats = torch.stack([features.mean(), features.std(), features.min(), features.max()])
    close(stats, vectors("e4e_io", f"body{unit}_stats"), rtol=1e-3, atol=1e-4)
    close(features[:, ::8, ::8, ::8], vectors("e4e_io", f"body{unit}_sub"), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_full_size_encoder_agrees_with_reference(vectors, close):
    encoder = vectors.fill(Encoder(EncoderConfig()), "encoder.")
    encoder.latent_avg.zero_()
    crop = vectors("e4e_io", "x256")
    close(encoder(crop), vectors("e4e_io", "1024/w_delta"), rtol=1e-4, atol=1e-4)
    encoder.latent_avg.copy_(vectors("e4e_io", "latent_avg"))
    close(encoder(crop), vectors("e4e_io", "1024/w"), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "inputs", "outputs", "stride"),
    [("ir_se_down", 16, 32, 2), ("ir_se_same", 32, 32, 1), ("ir_se_same2", 32, 32, 2)],
)
def test_residual_unit_agrees_with_reference(vectors, close, name, inputs, outputs, stride):
    unit = vectors.fill(Unit(inputs, outputs, stride=stride), f"micro.{name}.")
    close(unit(vectors("e4e_io", f"micro/{name}/x")), vectors("e4e_io", f"micro/{name}/y"), atol=1e-5)


@pytest.mark.parametrize("size", [16, 64])
def test_style_head_agrees_with_reference(vectors, close, size):
    head = vectors.fill(StyleHead(8, 8, size=size), f"micro.head{size}.")
    close(head(vectors("e4e_io", f"micro/head{size}/x")), vectors("e4e_io", f"micro/head{size}/y"))


def test_pyramid_step_agrees_with_reference(vectors, close):
    x, y = vectors("e4e_io", "micro/upsample_add/x"), vectors("e4e_io", "micro/upsample_add/y")
    close(upsample_add(x, y), vectors("e4e_io", "micro/upsample_add/out"))


def test_encoder_starts_from_the_average():
    encoder = Encoder(EncoderConfig(num_ws=4, w_dim=16, body=NARROW)).eval()
    crop = torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    before = encoder(crop)
    encoder.latent_avg += 1.0
    torch.testing.assert_close(encoder(crop), before + 1.0)


def test_psp_has_a_row_of_its_own_where_e4e_has_an_offset():
    config = EncoderConfig(num_ws=4, w_dim=16, body=NARROW)
    e4e, psp = Encoder(config).eval(), Encoder(replace(config, arch="psp")).eval()
    psp.load_state_dict(e4e.state_dict())
    crop = torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    rows, offsets = psp(crop), e4e(crop)
    torch.testing.assert_close(offsets[:, :1], rows[:, :1], rtol=0, atol=0)
    torch.testing.assert_close(offsets[:, 1:] - offsets[:, :1], rows[:, 1:])


def test_resize_does_not_alias():
    stripes = torch.ones(1, 3, 512, 512)
    stripes[:, :, :, ::2] = -1
    assert resize(stripes).abs().max() < 0.2


def test_identity_agrees_with_reference(vectors, close):
    network = vectors.fill(ArcFace(), "arcface.")
    close(network(vectors("arcface_io", "x112")), vectors("arcface_io", "emb"), rtol=1e-4)
    crop = vectors("arcface_io", "x256")
    close(face_part(crop)[:, :, ::4, ::4], vectors("arcface_io", "crop112_sub"))
    close(network.embed(crop), vectors("arcface_io", "emb256"), rtol=1e-4)
