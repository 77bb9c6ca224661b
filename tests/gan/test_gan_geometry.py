import pytest
import torch

from stit_vfx.gan.geometry import (
    GeometryConfig,
    GeometryEncoder,
    GeometrySynthesis,
    double,
    map_features,
    map_pyramid,
)

CONFIG = GeometryConfig(32, w_dim=12, channel_base=256, channel_max=16, injected=6)


def seeded(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def synthesis():
    torch.manual_seed(0)
    return GeometrySynthesis(CONFIG)


def face_maps(count):
    maps = seeded(count, CONFIG.maps, 32, 32, seed=1)
    maps[:, CONFIG.cover] = (maps[:, CONFIG.cover] > 0).float()
    return maps


def test_an_image_comes_out_for_rows_and_maps(synthesis):
    image = synthesis(seeded(2, CONFIG.num_ws, CONFIG.w_dim), face_maps(2))
    assert image.shape == (2, 3, 32, 32)


def test_the_built_in_size_has_twelve_rows():
    assert GeometryConfig().num_ws == 12


def test_every_row_and_every_map_reaches_the_image(synthesis):
    ws = seeded(1, CONFIG.num_ws, CONFIG.w_dim).requires_grad_()
    maps = face_maps(1).requires_grad_()
    with torch.enable_grad():
        synthesis(ws, maps).square().sum().backward()
    assert (ws.grad.abs().sum(2) > 0).all()
    assert (maps.grad.abs().sum((2, 3)) > 0).all()


def test_faces_of_a_batch_do_not_see_each_other(synthesis):
    ws, maps = seeded(3, CONFIG.num_ws, CONFIG.w_dim), face_maps(3)
    together = synthesis(ws, maps)
    alone = torch.cat([synthesis(ws[k : k + 1], maps[k : k + 1]) for k in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_noise_acts_only_where_it_has_a_strength(synthesis):
    ws, maps = seeded(1, CONFIG.num_ws, CONFIG.w_dim), face_maps(1)
    assert torch.equal(synthesis(ws, maps, "const"), synthesis(ws, maps, "none"))
    with torch.no_grad():
        synthesis.b32.conv1.noise_strength.fill_(0.5)
    assert not torch.equal(synthesis(ws, maps, "const"), synthesis(ws, maps, "none"))


def test_waves_are_zero_off_the_face():
    maps = face_maps(1)
    waves = map_features(maps, CONFIG)[:, CONFIG.maps :]
    outside = maps[:, CONFIG.cover : CONFIG.cover + 1] == 0
    assert waves.shape[1] == CONFIG.features - CONFIG.maps
    assert (waves * outside).abs().max() == 0
    assert waves.abs().max() > 0.5


def test_the_pyramid_keeps_the_mean_at_every_level():
    maps = face_maps(2)
    levels = map_pyramid(maps, 4)
    assert [level.shape[-1] for level in levels] == [4, 8, 16, 32]
    for level in levels:
        torch.testing.assert_close(level.mean((2, 3)), maps.mean((2, 3)), rtol=1e-4, atol=1e-5)


def test_doubling_keeps_a_ramp_a_ramp():
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    inner = double(ramp)[0, 0, 5, 1:-1]
    torch.testing.assert_close(inner, torch.arange(14) / 2 + 0.25)


def test_the_encoder_starts_with_equal_rows():
    torch.manual_seed(0)
    rows = GeometryEncoder(CONFIG)(seeded(2, 3, 32, 32), face_maps(2))
    assert rows.shape == (2, CONFIG.num_ws, CONFIG.w_dim)
    assert torch.equal(rows, rows[:, :1].expand_as(rows))


def test_the_encoder_sees_crop_and_maps():
    torch.manual_seed(0)
    encoder = GeometryEncoder(CONFIG)
    crop, maps = seeded(1, 3, 32, 32), face_maps(1)
    first = encoder(crop, maps)
    assert not torch.allclose(first, encoder(crop.flip(2), maps))
    assert not torch.allclose(first, encoder(crop, maps.flip(2)))
