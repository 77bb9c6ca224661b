from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from stit_vfx.errors import PackDamagedError, PackFormatError, PackMissingError
from stit_vfx.gan.geometry import GeometryConfig, GeometryEncoder, GeometrySynthesis
from stit_vfx.packs.schema import read_spec
from stit_vfx.shape.maps import CHANNELS
from stit_vfx.training.autoencoder import AutoEncoder, Phase, Recipe, Run, resume, train
from stit_vfx.training.batches import Batch, FaceBatches, Rows, mirror, relight
from stit_vfx.training.critic import Contest
from stit_vfx.training.dataset import load_shard, pending, shard_path, shards, worker_share
from stit_vfx.training.export import digest
from stit_vfx.training.loss import laplacian, picture_loss, pixel_weights, psnr
from stit_vfx.training.recipe import PRESETS, run_recipe

CONFIG = GeometryConfig(16, w_dim=8, channel_max=8, injected=4, seen=16)
GROWN = replace(CONFIG, resolution=32)


@pytest.fixture(scope="module")
def finished(tiny_source, shipped_shape, tmp_path_factory):
    """The smoke preset, run once: folder of all stages."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("recipe")
    run_recipe(tiny_source, folder, PRESETS["smoke"], shape=shipped_shape, say=lambda line: None)
    return folder


def toy_batch(step, size=16):
    made = torch.Generator().manual_seed(step)
    picture = torch.rand(2, 3, 1, 1, generator=made).expand(2, 3, size, size) * 2 - 1
    return Batch(picture, picture, (torch.rand(2, len(CHANNELS), size, size, generator=made) > 0.5).float())


def toy_networks():
    torch.manual_seed(3)
    networks = AutoEncoder(CONFIG).requires_grad_(False)
    torch.nn.init.normal_(networks.encoder.deltas.weight)
    return networks


def test_the_recipe_makes_a_pack_whose_files_have_the_digests_it_records(finished):
    pack = finished / "pack"
    described = read_spec(pack)
    assert described.sha256 == {p.name: digest(p) for p in pack.glob("*.safetensors")}
    assert described.files() == set(described.sha256)
    config = PRESETS["smoke"].grown_config
    assert (described.generator.resolution, described.generator.num_ws) == (64, 10)
    assert described.generator.settings["channel_max"] == config.channel_max
    assert described.generator.settings["seen"] == config.encoder_size == 32


def test_the_packs_weights_load_into_its_networks(finished):
    config = PRESETS["smoke"].grown_config
    for name, network in (("generator", GeometrySynthesis(config)), ("encoder", GeometryEncoder(config))):
        state = load_file(finished / "pack" / f"{name}.safetensors")
        assert {value.dtype for value in state.values()} == {torch.float16}
        network.load_state_dict(state)


def test_a_finished_recipe_does_nothing_again(finished, tiny_source, shipped_shape):
    before = {p: p.stat().st_mtime_ns for p in (finished / "faces").iterdir()}
    run_recipe(tiny_source, finished, PRESETS["smoke"], shape=shipped_shape, say=lambda line: None)
    assert {p: p.stat().st_mtime_ns for p in (finished / "faces").iterdir()} == before


def test_batches_are_a_function_of_seed_and_step(finished):
    faces, other = (FaceBatches.load(finished / "faces", size=32, held_out=8, seed=seed) for seed in (0, 1))
    assert torch.equal(faces.training(3, 4).crop, faces.training(3, 4).crop)
    assert not torch.equal(faces.training(3, 4).crop, faces.training(4, 4).crop)
    assert not torch.equal(faces.training(3, 4).crop, other.training(3, 4).crop)


def test_held_out_faces_are_shown_as_drawn_at_the_networks_size(finished):
    faces = FaceBatches.load(finished / "faces", size=32, held_out=8)
    drawn = load_shard(shards(finished / "faces")[0]).image[-8].astype(float)
    small = (drawn[0::2, 0::2] + drawn[1::2, 0::2] + drawn[0::2, 1::2] + drawn[1::2, 1::2]) / 4
    shown = (faces.held(8).target[0].permute(1, 2, 0).numpy() + 1) * 127.5
    np.testing.assert_allclose(shown, small, atol=0.51)


def test_too_few_faces_are_refused(finished):
    with pytest.raises(PackMissingError):
        FaceBatches.load(finished / "faces", size=32, held_out=1000)


@pytest.mark.parametrize(
    ("recipe", "config"),
    [(Recipe.plain(6), CONFIG), (Recipe.growing(2, 4), GROWN)],
    ids=["plain", "with a critic"],
)
def test_a_run_that_was_cut_off_ends_with_the_same_bits(tmp_path, recipe, config):
    small = None if config is CONFIG else toy_networks()
    whole = Run.start(recipe, config, small)
    for step in range(6):
        whole.advance(toy_batch(step, config.resolution))
    part = Run.start(recipe, config, small)
    for step in range(3):
        part.advance(toy_batch(step, config.resolution))
    part.save(tmp_path / "checkpoint.pt")
    rest = resume(recipe, config, tmp_path / "checkpoint.pt")
    for step in range(3, 6):
        rest.advance(toy_batch(step, config.resolution))
    for ours, theirs in ((whole.networks, rest.networks), (whole.average, rest.average)):
        for a, b in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
            assert torch.equal(a, b)


def test_grown_networks_paint_the_small_picture_doubled():
    small, batch = toy_networks(), toy_batch(0)
    large = small.grown(GROWN)
    crop, maps = (x.repeat_interleave(2, 2).repeat_interleave(2, 3) for x in (batch.crop, batch.maps))
    picture, w, offsets = large(crop, maps)
    expected, w_before, offsets_before = small(batch.crop, batch.maps)
    torch.testing.assert_close(w, w_before)
    torch.testing.assert_close(
        offsets, torch.cat([offsets_before, offsets_before[:, -1:].repeat(1, 2, 1)], 1)
    )
    doubled = torch.nn.functional.interpolate(expected, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(picture, doubled, rtol=1e-4, atol=1e-5)
    assert all(parameter.requires_grad for parameter in large.parameters())


def test_the_encoder_learns_nothing_while_the_critic_does():
    run = Run.start(replace(Recipe.growing(1, 3), warm_up=1), GROWN, toy_networks())
    run.advance(toy_batch(0, 32))
    states = [{k: v.clone() for k, v in part.state_dict().items()} for part in _parts(run)]
    run.advance(toy_batch(1, 32))
    moved = [
        any(not torch.equal(before[k], v) for k, v in part.state_dict().items())
        for part, before in zip(_parts(run), states, strict=True)
    ]
    assert moved == [False, True, True]


def _parts(run):
    return run.networks.encoder, run.networks.generator, run.contest.critic


def test_a_critic_learns_to_tell_what_is_drawn_and_pulls_towards_it():
    torch.manual_seed(0)
    contest, maps = Contest(len(CHANNELS)), torch.ones(2, len(CHANNELS), 32, 32)
    made = torch.Generator().manual_seed(1)
    rough, flat = torch.rand(2, 3, 32, 32, generator=made) * 2 - 1, torch.zeros(2, 3, 32, 32)
    for step in range(150):
        contest.learn(flat, rough, maps, step)
    assert contest.critic(rough, maps).mean() > contest.critic(flat, maps).mean() + 0.5
    picture = flat.clone().requires_grad_(True)
    loss = (picture - 0.1).square().mean()
    (alone,) = torch.autograd.grad((picture - 0.1).square().mean(), picture)
    pull = contest.pull(picture, maps, loss, share=0.25) - alone
    assert pull.norm().item() == pytest.approx(0.25 * alone.norm().item(), rel=1e-4)
    nearer = flat - 0.5 * pull / pull.abs().max()
    assert contest.critic(nearer, maps).mean() > contest.critic(flat, maps).mean()


def test_rows_of_several_arrays_are_numbered_through():
    rows = Rows((np.arange(3) * 10, np.arange(2) * 10 + 100, np.arange(4) * 10 + 200))
    assert rows[np.array([0, 2, 3, 4, 5, 8, 1])].tolist() == [0, 20, 100, 110, 200, 230, 10]


def test_a_run_goes_to_its_last_step_and_says_how_it_does(finished, tmp_path):
    faces, said = FaceBatches.load(finished / "faces", size=32, held_out=8), []
    run = train(faces, Recipe.plain(2, batch=2), tmp_path, config=PRESETS["smoke"].config, say=said.append)
    assert run.step == 2
    assert said[-1].startswith("step 2 loss")
    assert (tmp_path / "sheet.png").stat().st_size > 0


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path):
    Run.start(Recipe.plain(6), CONFIG).save(tmp_path / "checkpoint.pt")
    with pytest.raises(PackFormatError):
        resume(Recipe.plain(7), CONFIG, tmp_path / "checkpoint.pt")


def test_training_lowers_the_loss():
    run = Run.start(replace(Recipe.plain(200), warm_up=5), CONFIG)
    losses = [run.advance(toy_batch(0)) for _ in range(60)]
    assert losses[-1] < 0.6 * losses[0]


def test_rates_warm_up_once_and_fall_to_the_floor_in_each_phase():
    recipe = Recipe((Phase(500, 1.0, 2.0, end=1000), Phase(600, 4.0, 8.0, end=600)), warm_up=100, floor=0.02)
    assert recipe.steps == 600
    assert recipe.rates_at(0) == pytest.approx((0.01, 0.02))
    assert recipe.rates_at(499) == pytest.approx((0.51, 1.02), rel=0.01)
    assert recipe.rates_at(500) == pytest.approx((4.0, 8.0))
    assert recipe.rates_at(600) == pytest.approx((0.08, 0.16))


def test_mirroring_turns_sideways_quantities_and_nothing_else():
    maps = torch.arange(4.0)[None, None, None, :].expand(1, len(CHANNELS), 1, 4)
    _, turned = mirror(torch.zeros(1, 3, 1, 4), maps, torch.tensor([True]))
    for name, row in zip(CHANNELS, turned[0, :, 0], strict=True):
        sign = -1 if name in ("x", "normal_x") else 1
        assert row.tolist() == [sign * v for v in (3, 2, 1, 0)], name


def test_relighting_keeps_the_range_and_is_seeded():
    image = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    lit = [relight(image, np.random.default_rng(1)) for _ in range(2)]
    assert torch.equal(*lit)
    assert lit[0].min() >= 0
    assert lit[0].max() <= 1


def test_the_pyramid_adds_up_to_the_picture():
    picture = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    bands = laplacian(picture)
    total = bands[-1]
    for band in bands[-2::-1]:
        total = band + torch.nn.functional.interpolate(
            total, scale_factor=2, mode="bilinear", align_corners=False
        )
    torch.testing.assert_close(total, picture)


def test_the_loss_of_a_constant_error_is_the_weighted_error_of_pixels_and_coarsest_band():
    target = torch.zeros(1, 3, 32, 32)
    weights = torch.full((1, 1, 32, 32), 2.0)
    assert picture_loss(target + 0.1, target, weights).item() == pytest.approx(0.1 * 2 + 0.1 * 2, rel=1e-5)


def test_mouth_and_eyes_weigh_four_the_face_two_the_rest_one():
    maps = torch.zeros(1, len(CHANNELS), 16, 16)
    maps[:, CHANNELS.index("cover"), :, 4:] = 1
    maps[:, CHANNELS.index("eye"), 8, 12] = 1
    weights = pixel_weights(maps)[0, 0]
    assert weights[8, 0] == 1
    assert weights[8, 6] == 2
    assert weights[8, 12] == weights[10, 14] == 4
    assert weights[11, 12] == 2


def test_psnr_of_a_tenth_of_the_range_is_twenty_decibels():
    target = torch.zeros(2, 3, 8, 8)
    assert psnr(target + 0.2, target, torch.ones(2, 1, 8, 8)) == pytest.approx(20.0, abs=1e-4)


def test_workers_share_the_shards_that_are_missing(tmp_path):
    shard_path(tmp_path, 2).touch()
    both = [[number for number, _ in pending(tmp_path, 1100, worker_share(w))] for w in ("0/2", "1/2")]
    assert both == [[0, 4], [1, 3]]
    assert list(pending(tmp_path, 1100))[-1] == (4, range(1000, 1100))


def test_a_damaged_shard_is_named(tmp_path):
    shard_path(tmp_path, 0).write_bytes(b"not a shard")
    with pytest.raises(PackDamagedError, match="faces_0000"):
        load_shard(shard_path(tmp_path, 0))


def test_presets_differ_only_in_amount():
    small, full = PRESETS["smoke"], PRESETS["cpu-3h"]
    assert small.config.num_ws < full.config.num_ws == 12
    assert full.grown_config == full.config
    assert PRESETS["cpu-5h-256px"].grown_config.num_ws == 14
    assert replace(full, size=small.size).config == small.config
