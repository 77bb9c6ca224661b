"""Linear directions: the normal of what separates two kinds of samples, or the slope of a number.

Y. Shen et al., "Interpreting the Latent Space of GANs for Semantic Face Editing" (InterFaceGAN), CVPR 2020:
a linear SVM's boundary, and its projection off other directions. Z. Wu et al., "StyleSpace Analysis", CVPR
2021: in style space few channels matter, found by how far the samples' mean lies from the others' in units of
the spread.

What is reported is measured on samples that a fold's direction was not learned from, choice of channels and
projection included.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from stit_vfx.errors import JobError
from stit_vfx.learning.labels import Kind

Method = Literal["svm", "regression"]
Along = Literal["normal", "samples"]

FOLDS = 5
# SVM costs and ridge penalties tried, for features of unit spread.
COSTS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
PENALTIES = tuple(10.0**k for k in range(-2, 7))
# A direction that keeps less than this of its length after a projection is made of the others.
LEAST_LEFT = 1e-3


@dataclass(frozen=True)
class Recipe:
    """How a direction is learned.

    method    svm for two classes, regression for numbers
    along     "normal": the shortest way over the boundary, as published. "samples": the way that the samples
              themselves go; a longer step, in directions in which they differ much
    each      spread of every feature by itself (style space), or one for all (w, whose features are alike)
    channels  only as many features, the most telling ones; None: all
    seed      of the folds
    """

    method: Method
    along: Along = "normal"
    each: bool = False
    channels: int | None = None
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Line:
    """`move` (D,) of length 1: where to go. `reading` (D,): `x @ reading` says how far along x is.

    In w they are parallel along a normal. In style space a channel with much spread moves more and is read
    with less weight.
    """

    move: np.ndarray
    reading: np.ndarray

    @property
    def gain(self) -> float:
        """By how much the reading grows for a move of length 1."""
        return float(self.reading @ self.move)


def fit_line(
    features: np.ndarray, values: np.ndarray, recipe: Recipe, *, against: np.ndarray | None = None
) -> Line:
    """The direction along which values (N,) grow over features (N, D).

    against  (D, K): the move is orthogonal to each of these, in the features' own space
    Raises JobError if nothing is left of it then, or if no feature varies.
    """
    centre, spread = _standard(features, each=recipe.each)
    chosen = spread > 0
    if recipe.channels is not None and recipe.channels < chosen.sum():
        telling = np.where(chosen, selectivity(features, values), 0)
        chosen = np.zeros(len(spread), bool)
        chosen[np.argsort(-telling, kind="stable")[: recipe.channels]] = True
    if not chosen.any():
        raise JobError("the samples are all alike", hint="Make samples of different faces")
    standard = (features[:, chosen] - centre[chosen]) / spread[chosen]
    weights = _weights(standard, values, recipe)
    others = None if against is None else span(against[chosen])
    if recipe.along == "samples":
        move, reading = _as_samples_go(weights / spread[chosen], features[:, chosen], others)
    else:
        move = weights * spread[chosen]
        move = move if others is None else orthogonal(move, others)
        reading = move / spread[chosen] ** 2
    length = np.linalg.norm(move)
    if not length > 0:
        raise JobError("the label has nothing to do with the samples", hint="Check the labels")
    return Line(*(_spread_out(part / length, chosen) for part in (move, reading)))


def _as_samples_go(
    reading: np.ndarray, features: np.ndarray, others: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """(move, reading): where the samples themselves go as the reading grows, which is C reading for their
    covariance C. S. Haufe et al., "On the interpretation of weight vectors of linear models in multivariate
    neuroimaging", NeuroImage 87, 2014.

    others  orthonormal columns that the move is orthogonal to; the reading loses what would move along them
    """
    around = features - features.mean(0)

    def go(readings: np.ndarray) -> np.ndarray:
        return np.asarray(around.T @ (around @ readings) / len(around))

    if others is None or not others.size:
        return go(reading), reading
    towards = others.T @ go(others)
    reading = reading - others @ np.linalg.lstsq(towards, others.T @ go(reading), rcond=None)[0]
    return orthogonal(go(reading), others), reading


def orthogonal(vector: np.ndarray, against: np.ndarray) -> np.ndarray:
    """The vector (D,) less its projection on the span of the columns of `against` (D, K).

    Raises JobError if it lies in that span.
    """
    basis = span(against)
    left = vector - basis @ (basis.T @ vector)
    left = left - basis @ (basis.T @ left)  # once more: rounding of the first time is projected out too
    if np.linalg.norm(left) < LEAST_LEFT * np.linalg.norm(vector):
        raise JobError(
            "nothing is left of the direction: it is made of those it shall be orthogonal to",
            hint="Leave one of --orthogonal-to out",
        )
    return np.asarray(left)


def span(columns: np.ndarray) -> np.ndarray:
    """An orthonormal basis (D, R) of columns (D, K), by QR with pivots; dependent ones add nothing."""
    from scipy.linalg import qr

    q, r, _ = qr(np.asarray(columns, np.float64), mode="economic", pivoting=True)
    size = np.abs(np.diag(r))
    return np.asarray(q[:, : int((size > 1e-10 * max(size.max(initial=0), 1e-300)).sum())])


def selectivity(features: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(D,) how much each feature says of the values, in units of its spread, sign left out.

    StyleSpace's normalised difference: |mean of the marked ones - mean| / spread of the marked ones. Numbers
    that are no classes are split at their median.
    """
    marked = values > np.median(values) if len(np.unique(values)) > 2 else values == values.max()
    ones = features[marked]
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.abs(ones.mean(0) - features.mean(0)) / ones.std(0)
    return np.nan_to_num(found, nan=0.0, posinf=np.finfo(np.float64).max)


def _standard(features: np.ndarray, *, each: bool) -> tuple[np.ndarray, np.ndarray]:
    """Centre and spread (D,). A feature whose spread is nothing beside the others' has spread 0."""
    spread = features.std(0)
    if each:
        return features.mean(0), np.where(spread > 1e-6 * spread.max(), spread, 0)
    return features.mean(0), np.full_like(spread, np.sqrt((spread**2).mean()))


def _spread_out(part: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    whole = np.zeros(len(chosen))
    whole[chosen] = part
    return whole


def _weights(standard: np.ndarray, values: np.ndarray, recipe: Recipe) -> np.ndarray:
    if recipe.method == "svm":
        return _svm(standard, values, recipe.seed)
    from sklearn.linear_model import RidgeCV

    scaled = (values - values.mean()) / values.std()
    return np.asarray(RidgeCV(PENALTIES).fit(standard, scaled).coef_, np.float64)


def _svm(standard: np.ndarray, values: np.ndarray, seed: int) -> np.ndarray:
    """The SVM's weights at the cost that does best on held-out parts of these samples."""
    from sklearn.metrics import roc_auc_score

    def score(cost: float) -> float:
        held = [
            roc_auc_score(values[test], standard[test] @ _machine(standard[train], values[train], cost))
            for train, test in folds(values, "binary", 3, seed=seed)
        ]
        return float(np.mean(held))

    # Of equals the highest: a low one leans to the difference of the means, which is no boundary's normal.
    best = max(reversed(COSTS), key=lambda cost: round(score(cost), 3))
    return _machine(standard, values, best)


def _machine(standard: np.ndarray, values: np.ndarray, cost: float) -> np.ndarray:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    # The primal problem: no random numbers, and as fast for many features as for many samples.
    machine = LinearSVC(C=cost, dual=False, class_weight="balanced", max_iter=5000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the held-out score tells whether it is any good
        return np.asarray(machine.fit(standard, values).coef_[0], np.float64)


# how well it separates --------------------------------------------------------------------------------------


def folds(
    values: np.ndarray, kind: Kind, count: int, *, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(rows to learn from, rows to test on); fewer folds than asked for where a class is that small."""
    from sklearn.model_selection import KFold, StratifiedKFold

    if kind == "binary":
        smallest = int(min((values == 1).sum(), (values == 0).sum()))
        split: Any = StratifiedKFold(min(count, smallest), shuffle=True, random_state=seed)
    else:
        split = KFold(min(count, len(values)), shuffle=True, random_state=seed)
    yield from split.split(np.zeros((len(values), 1)), values)


def separability(
    features: np.ndarray,
    values: np.ndarray,
    kind: Kind,
    recipe: Recipe,
    *,
    against: np.ndarray | None = None,
    on_fold: Callable[[int], None] = lambda done: None,
) -> dict[str, float]:
    """How well held-out samples are told by directions learned from the others, and what chance would give.

    Binary: `balanced_accuracy` at the middle between the classes' means, `roc_auc`, both means over the
    folds. Numeric: `r2`, `correlation` and `rank_correlation` (Spearman) of all held-out predictions.
    `chance_up_to` is what labels drawn by lot stay below 19 times in 20.
    """
    told = np.full(len(values), np.nan)
    scores: list[Mapping[str, float]] = []
    for number, (train, test) in enumerate(folds(values, kind, FOLDS, seed=recipe.seed)):
        line = fit_line(features[train], values[train], recipe, against=against)
        near, held = features[train] @ line.reading, features[test] @ line.reading
        if kind == "binary":
            scores.append(_binary_scores(near, values[train], held, values[test]))
        else:
            slope, start = np.polyfit(near - near.mean(), values[train], 1)
            told[test] = start + slope * (held - near.mean())
        on_fold(number + 1)
    if kind == "numeric":
        return _numeric_scores(told, values)
    means = {name: float(np.mean([each[name] for each in scores])) for name in scores[0]}
    return {**means, "chance_up_to": chance_auc(values)}


def _binary_scores(
    near: np.ndarray, near_values: np.ndarray, held: np.ndarray, held_values: np.ndarray
) -> dict[str, float]:
    from sklearn.metrics import balanced_accuracy_score, roc_auc_score

    middle = (near[near_values == 1].mean() + near[near_values == 0].mean()) / 2
    return {
        "balanced_accuracy": float(balanced_accuracy_score(held_values, held > middle)),
        "roc_auc": float(roc_auc_score(held_values, held)),
    }


def _numeric_scores(told: np.ndarray, values: np.ndarray) -> dict[str, float]:
    from scipy.stats import spearmanr
    from sklearn.metrics import r2_score

    return {
        "r2": float(r2_score(values, told)),
        "correlation": float(np.corrcoef(told, values)[0, 1]),
        "rank_correlation": float(spearmanr(told, values).statistic),
        "chance_up_to": 1.645 / float(np.sqrt(len(values) - 1)),
    }


def chance_auc(values: np.ndarray) -> float:
    """The area that labels drawn by lot stay below 19 times in 20 (H. Mann and D. Whitney, 1947)."""
    ones, zeros = float((values == 1).sum()), float((values == 0).sum())
    return 0.5 + 1.645 * float(np.sqrt((ones + zeros + 1) / (12 * ones * zeros)))
