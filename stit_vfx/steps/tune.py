"""Step 3, tune: one generator, fine-tuned to every frame of the shot.

Pivotal tuning (Roich et al., "Pivotal Tuning for Latent-based Editing of Real Images", 2022) as "Stitch it in
Time" uses it. Schedule `paper` is the published loop: batch 1 in file order, constant rate, mean square and
LPIPS at full size. Schedule `default` shuffles mini-batches, leaves out pixels that the plate does not have,
keeps fine detail with a pyramid loss, lets the rate fall and stops when nothing more is gained.

Which frames make up a batch is a function of seed and step alone, so a run that was interrupted and resumed
from a `TuneState` gives the bits of an unbroken one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from stit_vfx.errors import PackFormatError
from stit_vfx.packs.model import FaceModel, Perceptual
from stit_vfx.steps.losses import PERCEPTUAL_PX, numbers, pyramid_distance, seen_by

if TYPE_CHECKING:
    from stit_vfx.job import Job

# README of the published code; its command line says 300, which takes hours.
PAPER_EPOCHS = 80
# Updates of the default schedule where a pack says nothing: enough to see each frame of a short shot often.
STEPS, FEWEST, MOST = 12, 200, 3000


@dataclass(frozen=True)
class Locality:
    """Keeps the generator as it was near, but not at, the pivots (published option, off by default).

    Needs a network with a `mapping` from z, so plain StyleGAN2 packs only.
    """

    alpha: float = 30.0
    l2: float = 0.1
    perceptual: float = 0.1
    psi: float = 0.5


@dataclass(frozen=True)
class TuneSettings:
    """`steps` counts updates, except in schedule `paper`, where it counts rounds over all frames.

    None: `steps_per_frame` of them for each frame, between `FEWEST` and `MOST`. `share` of
    them are done (a draft's third). `tolerance` is the relative gain per `window` updates (at least a
    round over all frames) below which the default schedule stops; 0 never stops early.
    """

    schedule: Literal["default", "paper"] = "default"
    steps: int | None = None
    steps_per_frame: float = STEPS
    share: float = 1.0
    lr: float = 1e-4
    batch: int = 2
    seed: int = 0
    l2: float = 10.0
    pyramid: float = 1.0
    perceptual: float = 1.0
    perceptual_px: int | None = PERCEPTUAL_PX
    locality: Locality | None = None
    window: int = 50
    tolerance: float = 0.01
    checkpoint_every: int = 100
    cache_mb: int = 256

    @classmethod
    def paper(cls, *, steps: int | None = None, lr: float = 3e-5, seed: int = 0) -> TuneSettings:
        """The published numbers."""
        return cls(
            schedule="paper",
            steps=steps,
            lr=lr,
            batch=1,
            seed=seed,
            pyramid=0.0,
            perceptual_px=None,
            tolerance=0.0,
        )

    @classmethod
    def of(cls, job: Job, model: FaceModel) -> TuneSettings:
        """What a job asks for, with the pack's own `steps`, `lr` and `batch` where it asks for nothing.

        A draft takes a third of the updates.
        """
        if job.tune.schedule == "paper":
            settings = cls.paper(steps=job.tune.steps, seed=job.seed)
        else:
            names = ("steps", "steps_per_frame", "lr", "batch")
            own = {name: model.schedule[name] for name in names if name in model.schedule}
            settings = replace(cls(seed=job.seed), **own)
        settings = replace(
            settings,
            lr=job.tune.lr or settings.lr,
            locality=Locality() if job.tune.locality else None,
        )
        if job.tune.schedule == "paper":
            return settings
        if job.tune.steps is not None:
            return replace(settings, steps=job.tune.steps)
        return replace(settings, share=1 / 3) if job.quality == "draft" else settings

    def updates(self, frames: int) -> int:
        """Updates in all, for a shot of so many frames."""
        if self.schedule == "paper":
            return (self.steps or PAPER_EPOCHS) * frames
        whole = self.steps or min(max(round(self.steps_per_frame * frames), FEWEST), MOST)
        return max(int(whole * self.share), 1)

    def decide(self, frames: int) -> dict[str, Any]:
        """The numbers that decide the result for a shot of so many frames, for content keys."""
        idle = {"checkpoint_every", "cache_mb", "steps_per_frame", "share"}
        if not self.tolerance:
            idle |= {"window", "tolerance"}
        if self.schedule == "paper" and self.locality is None:
            idle |= {"seed"}  # nothing is drawn
        told = {**asdict(self), "steps": self.updates(frames)}
        return {name: value for name, value in told.items() if name not in idle}

    def rate(self, step: int, total: int) -> float:
        """Learning rate of an update: constant as published, else a half cosine down to a tenth."""
        if self.schedule == "paper":
            return self.lr
        return float(self.lr * (0.55 + 0.45 * np.cos(np.pi * step / total)))


@dataclass(frozen=True)
class TuneFrame:
    """One frame at the generator's size.

    crop (3, R, R) in [-1, 1]; valid (R, R), 1 where the plate has pixels; ws (num_ws, w_dim); maps (C, R, R)
    for geometry-aware packs.
    """

    frame: int
    crop: Tensor
    valid: Tensor
    ws: Tensor
    maps: Tensor | None = None


@dataclass(frozen=True)
class TuneState:
    """Everything an interrupted run needs: updates done, parameters, Adam's moments, losses so far."""

    step: int
    weights: dict[str, Tensor]
    first_moment: dict[str, Tensor]
    second_moment: dict[str, Tensor]
    losses: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class TuneResult:
    """`weights` is the network's whole state; `losses` has one number for each of the `steps` updates."""

    weights: dict[str, Tensor]
    losses: list[float]
    steps: int


class OnStep(Protocol):
    """Called after every update; `state` is given when a checkpoint is due, and when the run was stopped."""

    def __call__(
        self, step: int, total: int, losses: Mapping[str, float], state: TuneState | None
    ) -> None: ...


def tune(
    model: FaceModel,
    *,
    frames: Sequence[int],
    load: Callable[[int], TuneFrame],
    settings: TuneSettings,
    perceptual: Perceptual | None = None,
    resume: TuneState | None = None,
    on_step: OnStep = lambda step, total, losses, state: None,
    stop: Callable[[], bool] = lambda: False,
) -> TuneResult:
    """Train `model.network` in place, noise maps excepted, and return its state.

    frames  numbers in file order; `load` fetches one, and is asked again each time that frame is used, so
            memory does not grow with the shot
    stop    asked before every update; when it says so, a last state is reported and the run ends there
    """
    total = settings.updates(len(frames))
    with trainable(model.network) as parameters:
        run = _Run(model, parameters, _Frames(frames, load, settings, perceptual), settings, perceptual)
        run.restore(resume)
        while run.step < total and not run.converged():
            if stop():
                on_step(run.step, total, {}, run.state())
                break
            losses = run.update(total)
            due = run.step % settings.checkpoint_every == 0 and run.step < total
            on_step(run.step, total, losses, run.state() if due else None)
    weights = {name: tensor.detach().clone() for name, tensor in model.network.state_dict().items()}
    return TuneResult(weights, run.losses, run.step)


@contextmanager
def trainable(network: nn.Module) -> Iterator[dict[str, nn.Parameter]]:
    """The network's parameters by name, with gradients while inside and without them afterwards."""
    parameters = dict(network.named_parameters())
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    try:
        yield parameters
    finally:
        for parameter in parameters.values():
            parameter.requires_grad_(False)
            parameter.grad = None


def batch_frames(frames: Sequence[int], step: int, *, batch: int, seed: int, shuffle: bool) -> list[int]:
    """The frames of an update (0-based). Every frame is used once before any is used again."""
    count = len(frames)
    places = range(step * batch, step * batch + batch)
    if not shuffle:
        return [frames[place % count] for place in places]
    orders = {place // count: _order(count, seed, place // count) for place in places}
    return [frames[orders[place // count][place % count]] for place in places]


def state_to_arrays(state: TuneState) -> dict[str, np.ndarray]:
    """A state as named arrays, for a checkpoint file."""
    parts = {"weight": state.weights, "first": state.first_moment, "second": state.second_moment}
    arrays = {
        f"{part}/{name}": tensor.detach().cpu().numpy().copy()
        for part, tensors in parts.items()
        for name, tensor in tensors.items()
    }
    return {**arrays, "step": np.array(state.step, np.int64), "losses": np.array(state.losses, np.float64)}


def state_from_arrays(arrays: Mapping[str, np.ndarray]) -> TuneState:
    """The other way round."""

    def part(prefix: str) -> dict[str, Tensor]:
        named = ((name.partition("/"), array) for name, array in arrays.items())
        return {key: torch.from_numpy(np.array(array)) for (head, _, key), array in named if head == prefix}

    losses = [float(loss) for loss in arrays["losses"]]
    return TuneState(int(arrays["step"]), part("weight"), part("first"), part("second"), losses)


def _order(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(count)


@dataclass(frozen=True)
class _Batch:
    """Frames stacked, on the model's device; `seen` are the targets' perceptual features."""

    crop: Tensor
    valid: Tensor
    ws: Tensor
    maps: Tensor | None
    seen: tuple[Tensor, ...] | None


class _Frames:
    """Batches of frames; keeps the perceptual features of as many targets as the cache holds.

    The first ones to come stay: with every frame used once a round, keeping the latest would never hit.
    """

    def __init__(
        self,
        frames: Sequence[int],
        load: Callable[[int], TuneFrame],
        settings: TuneSettings,
        perceptual: Perceptual | None,
    ) -> None:
        self.frames, self.load, self.settings, self.perceptual = frames, load, settings, perceptual
        self.cache: dict[int, tuple[Tensor, ...]] = {}
        self.room = settings.cache_mb * 2**20

    def batch(self, step: int, device: torch.device) -> _Batch:
        chosen = batch_frames(
            self.frames,
            step,
            batch=self.settings.batch,
            seed=self.settings.seed,
            shuffle=self.settings.schedule != "paper",
        )
        loaded = [self.load(frame) for frame in chosen]
        maps = [each.maps for each in loaded if each.maps is not None]
        crop = torch.stack([each.crop for each in loaded]).to(device)
        return _Batch(
            crop,
            torch.stack([each.valid for each in loaded])[:, None].to(device),
            torch.stack([each.ws for each in loaded]).to(device),
            torch.stack(maps).to(device) if maps else None,
            self._seen(chosen, crop),
        )

    def _seen(self, chosen: list[int], crops: Tensor) -> tuple[Tensor, ...] | None:
        if self.perceptual is None or not self.settings.perceptual:
            return None
        each = [self._features(frame, crops[i : i + 1]) for i, frame in enumerate(chosen)]
        return tuple(torch.cat(level) for level in zip(*each, strict=True))

    def _features(self, frame: int, crop: Tensor) -> tuple[Tensor, ...]:
        if frame in self.cache:
            return self.cache[frame]
        assert self.perceptual is not None
        with torch.no_grad():
            features = seen_by(self.perceptual, crop, self.settings.perceptual_px)
        size = sum(level.numel() * level.element_size() for level in features)
        if size <= self.room:
            self.room -= size
            self.cache[frame] = features
        return features


class _Run:
    """The loop's moving parts."""

    def __init__(
        self,
        model: FaceModel,
        parameters: dict[str, nn.Parameter],
        frames: _Frames,
        settings: TuneSettings,
        perceptual: Perceptual | None,
    ) -> None:
        self.model, self.parameters, self.frames = model, parameters, frames
        self.settings, self.perceptual = settings, perceptual
        self.adam = torch.optim.Adam(parameters.values(), lr=settings.lr)
        self.device = next(iter(parameters.values())).device
        self.step, self.losses = 0, list[float]()
        self.local = None
        if settings.locality is not None:
            self.local = _Local(model, settings.locality, settings.seed, perceptual)

    def update(self, total: int) -> dict[str, float]:
        """One update; returns its losses."""
        batch = self.frames.batch(self.step, self.device)
        for group in self.adam.param_groups:
            group["lr"] = self.settings.rate(self.step, total)
        losses = self._losses(batch)
        whole = torch.stack(list(losses.values())).sum()
        self.adam.zero_grad()
        whole.backward()
        self.adam.step()
        self.step += 1
        told = numbers({"loss": whole, **losses})
        self.losses.append(told["loss"])
        return told

    def converged(self) -> bool:
        """Whether the last window gained less than the tolerance over the one before."""
        # A window sees every frame, or hard and easy frames would look like loss and gain.
        window = max(self.settings.window, -(-len(self.frames.frames) // self.settings.batch))
        if not self.settings.tolerance or self.step % window or self.step < 2 * window:
            return False
        before, now = np.mean(self.losses[-2 * window : -window]), np.mean(self.losses[-window:])
        return bool(now > before * (1 - self.settings.tolerance))

    def state(self) -> TuneState:
        """A copy of the present state."""
        moments = {name: self.adam.state.get(parameter, {}) for name, parameter in self.parameters.items()}
        moved = {name: each for name, each in moments.items() if each}
        return TuneState(
            self.step,
            {name: parameter.detach().clone() for name, parameter in self.parameters.items()},
            {name: each["exp_avg"].clone() for name, each in moved.items()},
            {name: each["exp_avg_sq"].clone() for name, each in moved.items()},
            list(self.losses),
        )

    def restore(self, state: TuneState | None) -> None:
        """Go on from a state."""
        if state is None:
            return
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(state.weights[name])
        for name, moment in state.first_moment.items():
            self.adam.state[self.parameters[name]] = {
                "step": torch.tensor(float(state.step)),
                "exp_avg": moment.to(self.device, copy=True),
                "exp_avg_sq": state.second_moment[name].to(self.device, copy=True),
            }
        self.step, self.losses = state.step, list(state.losses)
        if self.local is not None:
            self.local.skip(state.step)

    def _losses(self, batch: _Batch) -> dict[str, Tensor]:
        images = self.model.synthesize(batch.ws, batch.maps)
        valid = torch.ones_like(batch.valid) if self.settings.schedule == "paper" else batch.valid
        difference = (images - batch.crop) * valid
        # Pixels that the plate does not have must not make the others count less.
        share = valid.mean().clamp_min(1e-3)
        losses = {"l2": self.settings.l2 * difference.square().mean() / share}
        if self.settings.pyramid:
            losses["pyramid"] = self.settings.pyramid * pyramid_distance(difference) / share
        if batch.seen is not None and self.perceptual is not None:
            filled = batch.crop + difference
            ours = seen_by(self.perceptual, filled, self.settings.perceptual_px)
            losses["perceptual"] = self.settings.perceptual * self.perceptual.compare(ours, batch.seen).mean()
        if self.local is not None:
            losses |= self.local.losses(batch.ws)
        return losses


class _Local:
    """The locality regulariser: an untouched copy of the generator, and where to compare with it."""

    def __init__(
        self, model: FaceModel, settings: Locality, seed: int, perceptual: Perceptual | None
    ) -> None:
        self.model, self.settings, self.perceptual = model, settings, perceptual
        self.original = deepcopy(model.network).requires_grad_(False)
        # The published code draws from numpy's global generator; the same stream, with a seed.
        self.random = np.random.RandomState(seed)
        self.mapping: Any = getattr(self.original, "mapping", None)
        if self.mapping is None:
            raise PackFormatError(
                "the locality option needs a generator that starts from z, which this is not"
            )
        self.z_dim = int(self.mapping.fc0.weight.shape[1])

    def skip(self, updates: int) -> None:
        """Draw what the updates before a checkpoint drew."""
        for _ in range(updates):
            self.random.standard_normal((1, self.z_dim))

    def losses(self, pivots: Tensor) -> dict[str, Tensor]:
        """How far the tuned generator has moved at a point near the first pivot."""
        with torch.no_grad():
            near = self.near(pivots[:1])
            theirs = self.model.synthesize(near, None, noise="none", network=self.original)
        ours = self.model.synthesize(near, None, noise="none")
        losses = {"locality": self.settings.l2 * (ours - theirs).square().mean()}
        if self.perceptual is not None:
            away = self.perceptual.distance(ours, theirs).mean()
            losses["locality_perceptual"] = self.settings.perceptual * away
        return losses

    def near(self, pivot: Tensor) -> Tensor:
        """A random w, brought to distance `alpha` of the pivot (norm over all rows together)."""
        z = torch.from_numpy(self.random.standard_normal((1, self.z_dim))).float().to(pivot.device)
        ws = self.mapping(z, psi=self.settings.psi)
        away = ws - pivot
        return pivot + self.settings.alpha * away / away.norm()
