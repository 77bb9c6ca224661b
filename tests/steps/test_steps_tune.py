from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from stit_vfx.errors import PackFormatError
from stit_vfx.gan.lpips import Lpips
from stit_vfx.job import Job
from stit_vfx.steps.losses import pyramid_distance
from stit_vfx.steps.tune import (
    Locality,
    TuneFrame,
    TuneSettings,
    batch_frames,
    state_from_arrays,
    state_to_arrays,
    tune,
)

QUICK = TuneSettings(steps=9, lr=1e-3, batch=2, seed=5, tolerance=0.0, checkpoint_every=1)


@pytest.fixture
def load(vectors):
    crops, pivots = vectors("pti", "images"), vectors("pti", "pivots")

    def read(frame: int) -> TuneFrame:
        return TuneFrame(frame, crops[frame - 1001], torch.ones(64, 64), pivots[frame - 1001])

    return read


FRAMES = (1001, 1002, 1003)


def _published(name, run):
    settings = TuneSettings.paper(steps=run["steps"], lr=run["lr"])
    if name == "loc2":
        settings = replace(settings, locality=Locality(), seed=run["np_seed"])
    return settings


@pytest.mark.parametrize("name", ["s1", "s5_lr3e-3", "loc2"])
def test_published_loop_agrees_with_reference(model, load, vectors, meta, name):
    result = tune(model, frames=FRAMES, load=load, settings=_published(name, meta["pti"]["runs"][name]))
    losses = vectors("pti", f"{name}/loss_l2_lpips")[:, 0].numpy()
    np.testing.assert_allclose(result.losses, losses, rtol=1e-4)
    image = model.synthesize(vectors("pti", "pivots"), None)
    torch.testing.assert_close(image, vectors("pti", f"{name}/img_after"), rtol=1e-4, atol=1e-3)
    for key in (
        "b4.const",
        "b16.conv1.weight",
        "b16.conv1.noise_strength",
        "b32.conv0.affine.bias",
        "b64.torgb.bias",
    ):
        ours, theirs = result.weights[f"synthesis.{key}"], vectors("pti", f"{name}/after/synthesis.{key}")
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=2e-4)


def test_locality_looks_where_the_published_one_does(model, load, vectors, meta):
    from stit_vfx.steps.tune import _Local

    run = meta["pti"]["runs"]["loc2"]
    local = _Local(model, Locality(), run["np_seed"], None)
    near = local.near(vectors("pti", "pivots")[:1])
    torch.testing.assert_close(near, vectors("pti", "locality_morphed"), rtol=1e-4, atol=1e-4)
    assert (near - vectors("pti", "pivots")[:1]).norm() == pytest.approx(30, rel=1e-5)


def test_locality_needs_a_generator_that_starts_from_z(model, load):
    model.network = model.network.synthesis
    with pytest.raises(PackFormatError, match="starts from z"):
        tune(model, frames=FRAMES, load=load, settings=replace(QUICK, locality=Locality()))


def _same(a, b):
    assert a.keys() == b.keys()
    for name, tensor in a.items():
        assert torch.equal(tensor, b[name]), name


def test_a_run_broken_anywhere_and_resumed_gives_the_bits_of_an_unbroken_one(model, load):
    untouched = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    whole = tune(model, frames=FRAMES, load=load, settings=QUICK)
    for broken_after in range(1, 9):
        model.network.load_state_dict(untouched)
        kept = _states_until(model, load, broken_after)
        model.network.load_state_dict(untouched)
        state = state_from_arrays(kept[broken_after])
        again = tune(model, frames=FRAMES, load=load, settings=QUICK, resume=state)
        assert again.steps == whole.steps == 9
        assert again.losses == whole.losses
        _same(again.weights, whole.weights)


def _states_until(model, load, last):
    """Checkpoints by step of a run that is stopped after some of them."""
    kept = {}

    def remember(step, total, losses, state):
        if state is not None:
            kept[step] = state_to_arrays(state)

    tune(model, frames=FRAMES, load=load, settings=QUICK, on_step=remember, stop=lambda: len(kept) >= last)
    return kept


def test_a_resumed_run_with_the_locality_term_draws_what_it_would_have_drawn(model, load):
    settings = replace(QUICK, steps=4, locality=Locality())
    untouched = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    whole = tune(model, frames=FRAMES, load=load, settings=settings)
    model.network.load_state_dict(untouched)
    kept = []

    def remember(step, total, losses, state):
        kept.append(state)

    tune(model, frames=FRAMES, load=load, settings=settings, on_step=remember, stop=lambda: len(kept) >= 2)
    # The regulariser compares with the generator as it was before any tuning.
    model.network.load_state_dict(untouched)
    again = tune(model, frames=FRAMES, load=load, settings=settings, resume=kept[1])
    assert again.losses == whole.losses
    _same(again.weights, whole.weights)


def test_stopping_reports_a_last_state_and_makes_no_further_update(model, load):
    seen = []
    result = tune(
        model,
        frames=FRAMES,
        load=load,
        settings=replace(QUICK, checkpoint_every=100),
        on_step=lambda step, total, losses, state: seen.append((step, state)),
        stop=lambda: len(seen) == 3,
    )
    assert result.steps == 3
    assert [step for step, _ in seen] == [1, 2, 3, 3]
    assert seen[-1][1].step == 3


def test_gradients_are_off_again_afterwards(model, load):
    tune(model, frames=FRAMES, load=load, settings=replace(QUICK, steps=1))
    assert not any(p.requires_grad or p.grad is not None for p in model.network.parameters())


def test_noise_maps_are_not_trained(model, load):
    before = model.network.synthesis.b64.conv1.noise_const.clone()
    tune(model, frames=FRAMES, load=load, settings=replace(QUICK, steps=2))
    assert torch.equal(model.network.synthesis.b64.conv1.noise_const, before)


def test_default_schedule_brings_the_picture_nearer(model, load, vectors):
    crops, pivots = vectors("pti", "images"), vectors("pti", "pivots")
    before = (model.synthesize(pivots, None) - crops).square().mean()
    tune(model, frames=FRAMES, load=load, settings=replace(QUICK, steps=60, lr=3e-3))
    after = (model.synthesize(pivots, None) - crops).square().mean()
    assert after < before / 3


def test_pixels_that_the_plate_lacks_do_not_matter(model, load):
    untouched = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    perceptual = Lpips().requires_grad_(False)

    def half_lost(fill):
        def read(frame):
            known = load(frame)
            valid, crop = known.valid.clone(), known.crop.clone()
            valid[:, 40:] = 0
            crop[:, :, 40:] = fill
            return replace(known, crop=crop, valid=valid)

        return read

    black = tune(model, frames=FRAMES, load=half_lost(-1.0), settings=replace(QUICK, steps=3, perceptual=0.0))
    model.network.load_state_dict(untouched)
    white = tune(model, frames=FRAMES, load=half_lost(1.0), settings=replace(QUICK, steps=3, perceptual=0.0))
    _same(black.weights, white.weights)
    model.network.load_state_dict(untouched)
    with_eyes = tune(
        model, frames=FRAMES, load=half_lost(1.0), settings=replace(QUICK, steps=1), perceptual=perceptual
    )
    assert np.isfinite(with_eyes.losses).all()


def test_every_frame_is_used_once_a_round_whatever_the_batch():
    frames = list(range(1001, 1008))
    used = [f for step in range(7) for f in batch_frames(frames, step, batch=3, seed=1, shuffle=True)]
    for start in range(0, 21, 7):
        assert sorted(used[start : start + 7]) == frames
    assert used[:7] != used[7:14]


def test_batches_depend_on_seed_and_step_alone():
    frames = [5, 7, 9, 11]
    a = [batch_frames(frames, step, batch=2, seed=3, shuffle=True) for step in range(8)]
    b = [batch_frames(frames, step, batch=2, seed=3, shuffle=True) for step in reversed(range(8))]
    assert a == b[::-1]
    assert a != [batch_frames(frames, step, batch=2, seed=4, shuffle=True) for step in range(8)]


def test_frames_are_streamed_and_targets_features_cached_within_the_limit(model, load):
    class Counting(Lpips):
        seen = 0

        def features(self, images):
            Counting.seen += len(images)
            return super().features(images)

    perceptual = Counting().requires_grad_(False)
    loaded = []

    def read(frame):
        loaded.append(frame)
        return load(frame)

    settings = replace(QUICK, steps=6, batch=1)
    tune(model, frames=FRAMES, load=read, settings=settings, perceptual=perceptual)
    assert len(loaded) == 6
    assert Counting.seen == 6 + 3
    Counting.seen = 0
    tune(model, frames=FRAMES, load=read, settings=replace(settings, cache_mb=0), perceptual=perceptual)
    assert Counting.seen == 6 + 6


def test_tuning_stops_when_nothing_more_is_gained(model, load):
    settings = replace(QUICK, steps=500, lr=1e-7, window=5, tolerance=0.05)
    assert tune(model, frames=FRAMES, load=load, settings=settings).steps < 30


def _job(**fields):
    edits = [{"direction": "smile", "strength": 1.0}]
    return Job.from_data({"schema": "stit.job/1", "plate": "a.exr", "edits": edits, **fields})


def test_jobs_and_packs_choose_the_numbers():
    pack = SimpleNamespace(schedule={"steps": 90, "lr": 2e-3, "batch": 4, "stitch_steps": 20})
    settings = TuneSettings.of(_job(seed=7), pack)
    assert (settings.steps, settings.lr, settings.batch, settings.seed) == (90, 2e-3, 4, 7)
    assert TuneSettings.of(_job(quality="draft"), pack).updates(5) == 30
    assert TuneSettings.of(_job(quality="draft", tune={"steps": 11}), pack).updates(5) == 11
    published = TuneSettings.of(_job(tune={"schedule": "paper"}), pack)
    assert (published.lr, published.batch, published.l2, published.updates(10)) == (3e-5, 1, 10.0, 800)
    asked = TuneSettings.of(_job(tune={"schedule": "paper", "lr": 1e-5, "locality": True}), pack)
    assert (asked.lr, asked.locality) == (1e-5, Locality())
    assert settings.locality is None


def test_pyramid_distance_of_nothing_is_nothing_and_of_a_flat_shift_is_the_shift():
    assert pyramid_distance(torch.zeros(1, 3, 64, 64)) == 0
    assert pyramid_distance(torch.full((1, 3, 64, 64), -0.25)) == pytest.approx(0.25, abs=1e-6)
