"""Rows found by optimisation: they make the picture they were found for, and stay put along a shot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stit_vfx.errors import CancelledError, PackError
from stit_vfx.gan.lpips import Lpips
from stit_vfx.gan.stylegan2 import Generator, GeneratorConfig
from stit_vfx.packs.load import load_pack
from stit_vfx.packs.plain import PlainModel
from stit_vfx.steps.image import to_code
from stit_vfx.steps.project import Projector, ProjectSettings, project_shot

QUICK = ProjectSettings(steps=24, following=8)


@pytest.fixture(scope="module")
def tiny() -> PlainModel:
    torch.manual_seed(7)
    config = GeneratorConfig(32, z_dim=32, w_dim=32, mapping_layers=2, channel_base=512, channel_max=16)
    return PlainModel(Generator(config).eval().requires_grad_(False), None)


def rows_of(model: PlainModel, seed: int) -> Tensor:
    assert isinstance(model.network, Generator)
    z = torch.randn(1, 32, generator=torch.Generator().manual_seed(seed))
    return model.network.mapping(z)


def picture_of(model: PlainModel, seed: int = 5) -> Tensor:
    return model.synthesize(rows_of(model, seed), None)


def rms(difference: Tensor) -> float:
    return float(difference.square().mean().sqrt())


def test_a_picture_of_a_known_w_is_found_again(tiny: PlainModel) -> None:
    target = picture_of(tiny)
    projector = Projector(tiny, ProjectSettings(steps=300))
    found = projector.project(target)
    average = tiny.synthesize(projector.average.expand(-1, tiny.num_ws, -1), None)
    assert found.shape == (1, tiny.num_ws, 32)
    # From 1.2 at the average w, to 1 to 2 % of that.
    assert rms(tiny.synthesize(found, None) - target) < 0.04 * rms(average - target)


def test_the_same_picture_gives_the_same_bits(tiny: PlainModel) -> None:
    first, second = (Projector(tiny, QUICK).project(picture_of(tiny)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, Projector(tiny, replace(QUICK, seed=1)).project(picture_of(tiny)))


def test_pixels_that_the_plate_does_not_have_do_not_count(tiny: PlainModel) -> None:
    target, valid = picture_of(tiny), torch.ones(32, 32)
    valid[:, :10] = 0
    garbage = torch.where(valid.bool(), target, torch.full_like(target, 9.0))
    perceptual = Lpips().requires_grad_(False)
    projector = Projector(tiny, replace(QUICK, perceptual_px=None), perceptual=None)
    assert torch.equal(projector.project(garbage, valid=valid), projector.project(target, valid=valid))
    assert not torch.equal(projector.project(garbage), projector.project(target))
    assert torch.isfinite(Projector(tiny, QUICK, perceptual=Wide(perceptual)).project(target)).all()


class Wide:
    """LPIPS of a picture enlarged: AlexNet sees nothing in 32 px."""

    def __init__(self, network: Lpips) -> None:
        self.network = network

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        return self.network.features(torch.nn.functional.interpolate(images, scale_factor=2.0))

    def compare(self, ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...]) -> Tensor:
        return self.network.compare(ours, theirs)

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        return self.compare(self.features(a), self.features(b))


def test_what_the_eye_sees_takes_part_where_the_pack_has_it(tiny: PlainModel) -> None:
    torch.manual_seed(3)
    network = Lpips().requires_grad_(False)
    for number in range(5):
        getattr(network, f"lin{number}").model[1].weight.abs_()
    target = picture_of(tiny)
    settings = replace(QUICK, steps=60)
    plain, both = (Projector(tiny, settings, perceptual=p).project(target) for p in (None, Wide(network)))
    assert not torch.equal(plain, both)
    assert rms(tiny.synthesize(both, None) - target) < 0.4


def shot_of(
    model: PlainModel, settings: ProjectSettings, *, cuts: Sequence[int] = (4,), **more: Any
) -> dict[int, Any]:
    """Frames 1 to 4 of one face that turns a little, then 5 and 6 of another one."""
    ends = rows_of(model, 5), rows_of(model, 6)
    rows = [torch.lerp(*ends, 0.02 * n) for n in range(4)] + [rows_of(model, 9)] * 2
    # Crops are code, 0..1, and clipped to that: a generator of random weights reaches further.
    crops = {n + 1: to_code(model.synthesize(row, None) / 4)[0] for n, row in enumerate(rows)}
    valid = np.ones((32, 32), np.float32)
    return project_shot(
        Projector(model, settings),
        frames=range(1, 7),
        cuts=cuts,
        crop=lambda frame: (crops[frame], valid),
        **more,
    )


def test_a_shot_is_steadier_than_frames_found_alone(tiny: PlainModel) -> None:
    settings = replace(QUICK, steps=80, following=20)
    together, alone = (shot_of(tiny, settings, cuts=cuts) for cuts in ([4], [1, 2, 3, 4]))
    step, unsteady = (np.abs(codes[4].ws - codes[3].ws).mean() for codes in (together, alone))
    assert step < 0.6 * unsteady
    # After a cut everything begins anew.
    assert np.abs(together[5].ws - together[4].ws).mean() > 5 * step


def test_an_interrupted_shot_goes_on_to_the_same_bits(tiny: PlainModel) -> None:
    whole = shot_of(tiny, QUICK)
    kept: dict[int, Any] = {}

    def stop(done: int, total: int, frame: int) -> None:
        if frame == 3 and done == 24 + 8 + 3:
            raise CancelledError("stop")

    with pytest.raises(CancelledError):
        shot_of(tiny, QUICK, on_step=stop, keep=kept.update)
    assert sorted(kept) == [1, 2]
    again = shot_of(tiny, QUICK, known=kept)
    assert all(np.array_equal(whole[frame].ws, again[frame].ws) for frame in range(1, 7))


def test_progress_counts_every_update_of_every_frame(tiny: PlainModel) -> None:
    told: list[tuple[int, int]] = []
    shot_of(tiny, QUICK, on_step=lambda done, total, frame: told.append((done, total)))
    assert [done for done, _ in told] == list(range(1, 24 + 3 * 8 + 24 + 8 + 1))
    assert {total for _, total in told} == {len(told)}


def test_a_pack_says_how_long_to_look() -> None:
    settings = ProjectSettings.of({"project_steps": 40, "project_lr": 0.05}, seed=3)
    assert (settings.steps, settings.following, settings.lr, settings.seed) == (40, 10, 0.05, 3)
    assert ProjectSettings.of({}) == ProjectSettings()


def test_a_generator_that_needs_geometry_is_refused() -> None:
    with pytest.raises(PackError, match="by its encoder"):
        Projector(load_pack("builtin").model)
