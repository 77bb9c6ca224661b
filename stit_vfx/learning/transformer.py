"""One attribute's latent transformer: w' = w + alpha f(w), f affine, learned from labelled codes alone.

X. Yao, A. Newson, Y. Gousseau, P. Hellier, "A Latent Transformer for Disentangled Face Editing in Images and
Videos", ICCV 2021. First a classifier of all given attributes is trained on the codes and fixed. Then f is,
with three losses: the attribute's own class at alpha +1 and -1; every other attribute's output stays, the
less strictly the more it goes together with this one in the samples; the code stays near. What comes out is
judged by linear classifiers, which f never saw, on samples that neither it nor the classifier did.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from stit_vfx.learning.labels import Target
from stit_vfx.learning.linear import Recipe, fit_line, span
from stit_vfx.packs.model import AffineMap
from stit_vfx.parallel import single_threaded

# Weights of the losses that keep the other attributes and the code. The published weight of the latter is 10
# on the mean over 512 features; here it is on the sum, so that small codes are not held harder.
KEEP, NEAR = 1.0, 10 / 512
CLASSIFIER_STEPS, STEPS, BATCH, RATE = 600, 1200, 64, 2e-3
HIDDEN = 64
HELD_SHARE = 0.2


@dataclass(frozen=True)
class TransformerRecipe:
    """How f is learned. `rank` of its matrix, None for full; `seed` of the split, weights and batches."""

    rank: int | None = None
    steps: int = STEPS
    classifier_steps: int = CLASSIFIER_STEPS
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Judged:
    """What held-out samples do at alpha +1 and -1.

    success   share of them that end on the side they were sent to, by the judge of the attribute
    moved_sd  by how much alpha 1 moves each judge's value, mean, in standard deviations of the samples
    accuracy  balanced, of each judge on the held-out samples: how far it can be believed
    held      how many samples were held out
    """

    success: float
    moved_sd: Mapping[str, float]
    accuracy: Mapping[str, float]
    held: int


@dataclass(frozen=True, eq=False)
class Trained:
    """`map` is f in the features' own units."""

    map: AffineMap
    judged: Judged


def train_transformer(
    features: np.ndarray,
    targets: Sequence[Target],
    recipe: TransformerRecipe,
    *,
    against: np.ndarray | None = None,
    mask: np.ndarray | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Trained:
    """f for the first target, that leaves the others.

    features  (N, D): codes in the space of f
    targets   binary, NaN where nobody said; numbers are to be split before (`as_classes`)
    against   (D, K): what f gives is orthogonal to each of these
    mask      (D,) 0 or 1: features that f may move
    On the processor and with the same bits every time, on one machine.
    """
    labels = np.stack([target.values for target in targets], 1)
    train, held = _split(labels[:, 0], recipe.seed)
    centre, spread = features[train].mean(0), max(float(features[train].std(0).mean()), 1e-12)
    standard = (features - centre) / spread
    weight = _stay_weights(labels[train])
    # With one thread sums have one order on every machine, and these small networks lose nothing by it.
    with torch.random.fork_rng(devices=[]), single_threaded():
        torch.manual_seed(recipe.seed)
        codes, known = torch.from_numpy(standard[train]).float(), torch.from_numpy(labels[train]).float()
        total = recipe.classifier_steps + recipe.steps
        classifier = _classifier(codes, known, recipe, lambda done: progress(done, total))
        layer = _Layer(codes.shape[1], recipe.rank, _projector(against), mask)
        _train_layer(
            layer,
            classifier,
            codes,
            weight,
            recipe,
            lambda done: progress(recipe.classifier_steps + done, total),
        )
    found = _in_units(layer, centre, spread)
    return Trained(found, _judge(features, targets, train, held, found))


def as_classes(target: Target) -> Target:
    """A numeric target as two classes, above its median and not; a binary one as it is."""
    if target.kind == "binary":
        return target
    known = target.known
    values = np.full(len(target.values), np.nan)
    middle = float(np.median(target.values[known])) if known.any() else 0.0
    values[known] = target.values[known] > middle
    return Target(target.name, values, "binary", target.source, f"above {middle:.3g}", f"up to {middle:.3g}")


def _split(values: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to learn from and rows to judge on: a fifth, as many of each class as there are."""
    rng = np.random.default_rng(seed)
    held = np.zeros(len(values), bool)
    for value in (0, 1):
        rows = rng.permutation(np.flatnonzero(values == value))
        held[rows[: max(1, round(HELD_SHARE * len(rows)))]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def _stay_weights(labels: np.ndarray) -> Tensor:
    """(K,) how strictly each attribute stays: 1 - |correlation| with the first, which itself does not."""
    weight = np.zeros(labels.shape[1])
    for k in range(1, labels.shape[1]):
        both = np.isfinite(labels[:, [0, k]]).all(1)
        pair = labels[both][:, [0, k]]
        varies = len(pair) > 1 and (pair.std(0) > 0).all()
        weight[k] = 1 - abs(np.corrcoef(pair.T)[0, 1]) if varies else 1.0
    return torch.from_numpy(weight).float()


class _Layer(nn.Module):
    """f on standardised codes; starts as nothing."""

    def __init__(
        self, size: int, rank: int | None, projector: Callable[[Tensor], Tensor], mask: np.ndarray | None
    ) -> None:
        super().__init__()
        self.projector = projector
        self.mask = torch.ones(size) if mask is None else torch.from_numpy(mask).float()
        self.bias = nn.Parameter(torch.zeros(size))
        if rank is None:
            self.weight = nn.Parameter(torch.zeros(size, size))
        else:
            self.up = nn.Parameter(torch.zeros(size, rank))
            self.down = nn.Parameter(torch.randn(rank, size) / size**0.5)
        self.full = rank is None

    def outputs(self) -> tuple[Tensor, Tensor]:
        """(the matrix that writes (D, R), bias (D,)), masked and projected."""
        writer = self.weight if self.full else self.up
        return self.projector(writer * self.mask[:, None]), self.projector(self.bias * self.mask)

    def forward(self, codes: Tensor) -> Tensor:
        writer, bias = self.outputs()
        return (codes if self.full else codes @ self.down.T) @ writer.T + bias


def _projector(against: np.ndarray | None) -> Callable[[Tensor], Tensor]:
    """Takes (D,) or (D, R) off the span of the columns of `against`."""
    if against is None:
        return lambda written: written
    basis = torch.from_numpy(span(against)).float()
    return lambda written: written - basis @ (basis.T @ written)


def _classifier(
    codes: Tensor, labels: Tensor, recipe: TransformerRecipe, on_step: Callable[[int], None]
) -> nn.Module:
    """Three layers that tell all attributes, (N, D) to logits (N, K); empty cells count nothing."""
    network = nn.Sequential(
        nn.Linear(codes.shape[1], HIDDEN),
        nn.LeakyReLU(0.2),
        nn.Linear(HIDDEN, HIDDEN),
        nn.LeakyReLU(0.2),
        nn.Linear(HIDDEN, labels.shape[1]),
    )
    # A few hundred samples are learned by heart otherwise.
    adam = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.3)
    known = torch.isfinite(labels)
    truth = torch.nan_to_num(labels)
    for step in range(recipe.classifier_steps):
        rows = torch.randint(len(codes), (BATCH,))
        noisy = codes[rows] + 0.3 * torch.randn(BATCH, codes.shape[1])
        wrong = functional.binary_cross_entropy_with_logits(network(noisy), truth[rows], reduction="none")
        _update(adam, (wrong * known[rows]).sum() / known[rows].sum().clamp_min(1))
        on_step(step + 1)
    return network.eval().requires_grad_(False)


def _train_layer(
    layer: _Layer,
    classifier: nn.Module,
    codes: Tensor,
    stay: Tensor,
    recipe: TransformerRecipe,
    on_step: Callable[[int], None],
) -> None:
    adam = torch.optim.Adam(layer.parameters(), lr=RATE)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(adam, recipe.steps)
    for step in range(recipe.steps):
        before = codes[torch.randint(len(codes), (BATCH,))]
        alpha = (torch.randint(2, (BATCH, 1)) * 2 - 1).float()
        moved = alpha * layer(before)
        told_before, told = torch.sigmoid(classifier(before)), classifier(before + moved)
        reached = functional.binary_cross_entropy_with_logits(told[:, 0], (alpha[:, 0] + 1) / 2)
        kept = ((torch.sigmoid(told) - told_before) ** 2 * stay).sum(1).mean()
        near = moved.square().sum(1).mean()
        _update(adam, reached + KEEP * kept + NEAR * near)
        rates.step()
        on_step(step + 1)


def _update(adam: torch.optim.Optimizer, loss: Tensor) -> None:
    adam.zero_grad()
    torch.autograd.backward(loss)
    adam.step()


def _in_units(layer: _Layer, centre: np.ndarray, spread: float) -> AffineMap:
    """f of codes as they are: spread * (A ((x - centre) / spread) + b) = A x + (spread b - A centre)."""
    with torch.no_grad():
        writer, bias = (part.double().numpy() for part in layer.outputs())
        reader = None if layer.full else layer.down.double().numpy()
    seen = centre if reader is None else reader @ centre
    factors = (writer,) if reader is None else (writer, reader)
    as_stored = tuple(factor.astype(np.float32) for factor in factors)
    return AffineMap(as_stored, (spread * bias - writer @ seen).astype(np.float32))


# what it does to samples it never saw -----------------------------------------------------------------------


def _judge(
    features: np.ndarray, targets: Sequence[Target], train: np.ndarray, held: np.ndarray, found: AffineMap
) -> Judged:
    steps = found(features[held])
    moved_sd, accuracy, success = {}, {}, 0.0
    for place, target in enumerate(targets):
        rows = train[target.known[train]]
        if len(np.unique(target.values[rows])) < 2:
            continue
        reading, middle = _reading(features[rows], target.values[rows])
        spread = float((features @ reading).std()) or 1.0
        moved_sd[target.name] = float((steps @ reading).mean() / spread)
        before = features[held] @ reading - middle
        accuracy[target.name] = _accuracy(before, target.values[held])
        if place == 0:
            sent = np.concatenate([before + steps @ reading > 0, before - steps @ reading < 0])
            success = float(sent.mean())
    return Judged(success, moved_sd, accuracy, len(held))


def _reading(features: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, float]:
    """(D,) and a threshold: a linear judge, of another kind than the classifier that f was trained with."""
    reading = fit_line(features, values, Recipe("regression")).reading
    read = features @ reading
    return reading, float((read[values == 1].mean() + read[values == 0].mean()) / 2)


def _accuracy(read: np.ndarray, values: np.ndarray) -> float:
    """Balanced accuracy where both classes are there; NaN else."""
    ones, zeros = read[values == 1], read[values == 0]
    return float(((ones > 0).mean() + (zeros <= 0).mean()) / 2) if len(ones) and len(zeros) else float("nan")
