"""One direction from samples and labels, and everything that is known of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from stit_vfx.errors import JobError, JobFieldError, UnknownDirectionError
from stit_vfx.gan.stylegan2 import Generator
from stit_vfx.learning.labels import Target
from stit_vfx.learning.linear import Along, Recipe, fit_line, separability
from stit_vfx.learning.transformer import TransformerRecipe, as_classes, train_transformer
from stit_vfx.packs.directions import direction_rows, style_within, transformed_rows
from stit_vfx.packs.model import Direction, Space

if TYPE_CHECKING:
    from stit_vfx.learning.ruler import Ruler
    from stit_vfx.learning.samples import Samples
    from stit_vfx.packs.load import Pack

AnyMethod = Literal["svm", "regression", "transformer"]
Progress = Callable[[int, int], None]

LEAST_OF_A_CLASS, LEAST_NUMBERS = 5, 10
# Below these a direction is learned, with a warning.
FEW, UNBALANCED, ALIKE, LITTLE_LEFT = 50, 0.2, 0.5, 0.5
# A code this many standard deviations along a direction is beyond all that the samples show.
REACH_SD = 4.0
RANGE_LIMITS = (0.25, 2.0)
EXTREMES = 1 / 3
# A weaker one would ask for codes that no sample is near.
LEAST_CORRELATION = 0.1
# A matrix of more features than this gets a rank.
FULL_RANK_UP_TO, RANK = 1024, 32


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What direction to learn.

    method         None: svm for two classes, regression for numbers
    space          w and style; a transformer: w, or w+, where every row has its own part
    layers         rows of w that the direction may move; in style space, channels made from them
    orthogonal_to  names of the pack's directions
    along          "normal" or "samples", see `linear.Recipe`
    channels       style channels that are kept
    deviations     what strength 1 does: by so many standard deviations of the samples the value moves
    """

    name: str
    method: AnyMethod | None = None
    space: Space = "w"
    layers: tuple[int, ...] | None = None
    orthogonal_to: tuple[str, ...] = ()
    along: Along = "normal"
    channels: int = 64
    deviations: float = 2.0
    rank: int | None = None
    seed: int = 0
    title: str = ""


@dataclass(frozen=True, eq=False)
class Learned:
    """A direction ready to use or to save; `measured` is JSON, `warnings` are sentences for people."""

    direction: Direction
    measured: Mapping[str, Any]
    warnings: tuple[str, ...]


def learn(
    pack: Pack,
    samples: Samples,
    target: Target,
    wish: Wish,
    *,
    keep: Sequence[Target] = (),
    ruler: Ruler | None = None,
    progress: Progress = lambda done, total: None,
) -> Learned:
    """A direction along which the target grows.

    keep   what a transformer shall leave alone; linear directions use `orthogonal_to`
    ruler  measures rendered faces, and sets the scale by them, where the target is a measure
    Raises JobError and its kind for too few or one-sided labels, unknown directions, spaces that do not meet.
    """
    method = wish.method or ("svm" if target.kind == "binary" else "regression")
    _check(pack, wish, method, target)
    if method == "transformer":
        direction, told = _transformer(pack, samples, target, wish, keep, progress)
    else:
        direction, told = _linear(pack, samples, target, wish, method, progress)
    if ruler is not None and target.source == "measured":
        direction = ruler.calibrated(direction, target.name, wish.deviations)
        told["moved_sd_when_rendered"] = _rounded(ruler.moved_sd(direction))
    direction = _within_reach(direction)
    cosines = cosines_to(pack, samples, direction)
    told = {
        **{"method": method, "space": wish.space, "target": target.name, "labels": target.source},
        **_counts(samples, target),
        **told,
        **{"strength_1_moves_sd": wish.deviations, "cosines": _rounded(cosines), "seed": wish.seed},
        **({"orthogonal_to": list(wish.orthogonal_to)} if wish.orthogonal_to else {}),
    }
    return Learned(direction, told, tuple(_warnings(target, told, wish)))


def _check(pack: Pack, wish: Wish, method: AnyMethod, target: Target) -> None:
    values = target.values[target.known]
    if target.kind == "binary":
        _check_classes(target)
    elif len(values) < LEAST_NUMBERS:
        raise JobFieldError(
            f"{target.name}: {len(values)} samples have a number, at least {LEAST_NUMBERS} are needed",
            hint="Label more samples, or check that faces are found in the pictures",
        )
    elif np.std(values) == 0:
        raise JobFieldError(f"{target.name}: every sample has the same number", hint="Check the labels")
    if method != "transformer" and wish.space == "w+":
        raise JobFieldError("--space w+: only transformers have it", hint="Use w or style")
    if method == "transformer" and wish.space == "style":
        raise JobFieldError("--space style: transformers work on rows of w", hint="Use w or w+")
    if wish.space == "style" and not isinstance(pack.model.network, Generator):
        raise JobFieldError(f"--space style: pack {pack.name} has no style space", hint="Use w")
    if wish.layers and max(wish.layers) >= pack.model.num_ws:
        raise JobFieldError(f"--layers: the pack has layers 0 to {pack.model.num_ws - 1}")


def _check_classes(target: Target) -> None:
    for value, word in ((1, target.positive), (0, target.negative)):
        count = int((target.values == value).sum())
        if count < LEAST_OF_A_CLASS:
            raise JobFieldError(
                f"{target.name}: {count} samples are {word!r}, at least {LEAST_OF_A_CLASS} are needed",
                hint="Label more samples; a few hundred make a good direction",
            )


def features_of(pack: Pack, samples: Samples, *, space: Space, layers: Sequence[int] | None) -> np.ndarray:
    """Samples (N, D) float64 in a space: in w the mean of a sample's rows, which moves as the rows do."""
    if space == "style":
        assert samples.styles is not None
        assert isinstance(pack.model.network, Generator)
        rows = pack.model.network.synthesis.channel_rows()
        return np.stack(
            [style_within(style, layers, rows=rows) for style in samples.styles.astype(np.float64)]
        )
    ws = samples.ws.astype(np.float64)
    if space == "w+":
        return ws.reshape(len(ws), -1)
    return ws.mean(1) if layers is None else ws[:, list(layers)].mean(1)


# linear -----------------------------------------------------------------------------------------------------


def _linear(
    pack: Pack,
    samples: Samples,
    target: Target,
    wish: Wish,
    method: Literal["svm", "regression"],
    progress: Progress,
) -> tuple[Direction, dict[str, Any]]:
    rows = np.flatnonzero(target.known)
    values, kind = target.values[rows], target.kind
    told: dict[str, Any] = {"along": wish.along}
    if method == "svm" and kind == "numeric":
        rows, values = _extremes(rows, values)
        kind, told["classes_are"] = "binary", "the lowest and the highest third"
    features = features_of(pack, samples, space=wish.space, layers=wish.layers)[rows]
    recipe = Recipe(
        method,
        wish.along,
        each=wish.space == "style",
        channels=wish.channels if wish.space == "style" else None,
        seed=wish.seed,
    )
    against = _against(pack, wish)
    line = fit_line(features, values, recipe, against=against)
    if against is not None:
        free = fit_line(features, values, recipe)
        told["cosine_to_unprojected"] = round(float(free.move @ line.move), 4)
    if recipe.channels is not None:
        told["channels"] = int(np.count_nonzero(line.move))
    folds = separability(
        features, values, kind, recipe, against=against, on_fold=lambda done: progress(done, 5)
    )
    read = features @ line.reading
    spread = float(read.std()) / line.gain
    # Two classes have no unit of their own: what moves is how far on its side of the boundary a face is.
    grows = 1.0 if kind == "binary" else max(folds["correlation"], LEAST_CORRELATION)
    scale = wish.deviations * spread / grows
    reach = REACH_SD * spread / scale
    direction = Direction(
        wish.name,
        wish.name,
        wish.space,
        line.move.astype(np.float32),
        scale=scale,
        layers=None if wish.space == "style" else wish.layers,
        range=(-reach, reach),
        title=wish.title,
    )
    return direction, {**told, **_rounded(folds)}


def _extremes(rows: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The samples with the lowest and the highest numbers, a third each, as classes (InterFaceGAN)."""
    order = np.argsort(values, kind="stable")
    count = max(LEAST_OF_A_CLASS, int(len(values) * EXTREMES))
    chosen = np.concatenate([order[:count], order[-count:]])
    return rows[chosen], np.repeat([0.0, 1.0], count)


def _within_reach(direction: Direction) -> Direction:
    """The range, symmetric and in round numbers, neither useless nor boundless."""
    high = float(np.clip(round(direction.range[1], 2), *RANGE_LIMITS))
    return replace(direction, range=(-high, high), scale=float(direction.scale))


# transformers -----------------------------------------------------------------------------------------------


def _transformer(
    pack: Pack, samples: Samples, target: Target, wish: Wish, keep: Sequence[Target], progress: Progress
) -> tuple[Direction, dict[str, Any]]:
    classes = [as_classes(each) for each in (target, *keep)]
    for each in classes:
        _check_classes(each)
    features = features_of(pack, samples, space=wish.space, layers=wish.layers)
    rank = wish.rank or (None if features.shape[1] <= FULL_RANK_UP_TO else RANK)
    trained = train_transformer(
        features[target.known],
        [replace(each, values=each.values[target.known]) for each in classes],
        TransformerRecipe(rank=rank, seed=wish.seed),
        against=_against(pack, wish),
        mask=_mask(pack, wish),
        progress=progress,
    )
    judged = trained.judged
    moved = judged.moved_sd.get(target.name, 0.0)
    if not moved > 0.05:
        raise JobError(
            f"the transformer does not move {target.name}",
            hint="Label more samples, or leave out what it shall keep and cannot be told from it",
        )
    scale = wish.deviations / moved
    # It was trained at alpha 1 and -1; f is affine, so that a little more is no leap.
    reach = max(1.5 / scale, 1.0)
    direction = Direction(
        wish.name,
        wish.name,
        wish.space,
        scale=scale,
        layers=wish.layers,
        range=(-reach, reach),
        title=wish.title,
        transformer=trained.map,
    )
    told = {
        "rank": rank,
        "held_out": judged.held,
        "held_out_success_at_alpha_1": round(judged.success, 4),
        "judges_balanced_accuracy": _rounded(judged.accuracy),
        "moved_sd_at_strength_1": _rounded({k: v * scale for k, v in judged.moved_sd.items()}),
        "kept": [each.name for each in keep],
    }
    return direction, told


def _mask(pack: Pack, wish: Wish) -> np.ndarray | None:
    """(D,) 1 where a transformer may write: in w+ the rows of its layers; in w layers are picked later."""
    if wish.layers is None or wish.space == "w":
        return None
    kept = np.isin(np.arange(pack.model.num_ws), wish.layers)
    return np.repeat(kept, pack.model.w_dim).astype(np.float64)


# other directions -------------------------------------------------------------------------------------------


def _against(pack: Pack, wish: Wish) -> np.ndarray | None:
    """(D, K): the directions to be orthogonal to, in the space of the new one. None if there are none."""
    if not wish.orthogonal_to:
        return None
    return np.concatenate([_columns(pack, wish, name) for name in wish.orthogonal_to], 1)


def _columns(pack: Pack, wish: Wish, name: str) -> np.ndarray:
    if name not in pack.directions:
        raise UnknownDirectionError(
            f"--orthogonal-to: pack {pack.name} has no direction {name!r}",
            hint=f"The pack has {', '.join(sorted(pack.directions))}",
        )
    other = pack.directions[name]
    if other.vector is None:
        what = "is a transformer" if other.transformer is not None else "moves the shape alone"
        raise JobFieldError(f"--orthogonal-to {name}: {what}, and no code is orthogonal to that")
    if (other.space == "style") != (wish.space == "style"):
        raise JobFieldError(
            f"--orthogonal-to {name}: it is in {other.space}, the new direction in {wish.space}",
            hint="Learn in the same space",
        )
    if wish.space == "style":
        return _style_vector(pack, other)[:, None]
    rows = direction_rows(other, pack.model.num_ws)
    if wish.layers is not None:
        rows = np.where(np.isin(np.arange(len(rows)), wish.layers)[:, None], rows, 0)
    if wish.space == "w+":
        return rows.reshape(-1, 1)
    # A vector of w is the same in every row: it is orthogonal to the other's rows where it is to their sum. A
    # transformer moves each row its own way, and has to be orthogonal to each.
    return rows.T if wish.method == "transformer" else rows.sum(0)[:, None]


def _style_vector(pack: Pack, direction: Direction) -> np.ndarray:
    assert direction.vector is not None
    assert isinstance(pack.model.network, Generator)
    rows = pack.model.network.synthesis.channel_rows()
    return style_within(np.asarray(direction.vector, np.float64), direction.layers, rows=rows)


def cosines_to(pack: Pack, samples: Samples, direction: Direction) -> dict[str, float]:
    """The cosine to every other direction of the pack that is in a space to compare with; rows of W+ at once.

    Of a transformer, the mean of what it does to the samples counts.
    """
    ours = _as_one(pack, samples, direction)
    found = {}
    for name, other in sorted(pack.directions.items()):
        if name == direction.name or (other.space == "style") != (direction.space == "style"):
            continue
        if other.vector is None and other.transformer is None:
            continue
        theirs = _as_one(pack, samples, other)
        length = float(np.linalg.norm(ours) * np.linalg.norm(theirs))
        found[name] = float(ours @ theirs) / length if length else 0.0
    return found


def _as_one(pack: Pack, samples: Samples, direction: Direction) -> np.ndarray:
    if direction.space == "style":
        return _style_vector(pack, direction)
    if direction.transformer is not None:
        moved = [transformed_rows(direction, ws.astype(np.float64)) for ws in samples.ws[:256]]
        return np.asarray(np.mean(moved, 0).reshape(-1))
    return direction_rows(direction, pack.model.num_ws).reshape(-1)


# what is told -----------------------------------------------------------------------------------------------


def _counts(samples: Samples, target: Target) -> dict[str, Any]:
    values = target.values[target.known]
    told: dict[str, Any] = {"samples": len(values), "left_out": len(samples.files) - len(values)}
    if target.kind == "binary":
        counts = {target.positive: int((values == 1).sum()), target.negative: int((values == 0).sum())}
        return {**told, "classes": counts}
    return {**told, "value_mean": _short(values.mean()), "value_sd": _short(values.std())}


def _warnings(target: Target, told: Mapping[str, Any], wish: Wish) -> list[str]:
    words = []
    counts = list(told["classes"].values()) if "classes" in told else [told["samples"]]
    if min(counts) < FEW:
        words.append(f"{min(counts)} samples are few: what is measured here may differ much with others")
    if len(counts) == 2 and min(counts) < UNBALANCED * sum(counts):
        words.append(f"the classes are unbalanced, {counts[0]} to {counts[1]}: label more of the rarer one")
    score = told.get("roc_auc", told.get("rank_correlation"))
    if score is not None and score <= told["chance_up_to"]:
        words.append(
            f"no better than chance: held-out samples score {score:.2f}, labels drawn by lot up to"
            f" {told['chance_up_to']:.2f}"
        )
    if told.get("judges_balanced_accuracy", {}).get(target.name, 1.0) < 0.6:
        words.append("the judge of held-out samples is hardly better than chance: nothing was confirmed")
    if abs(told.get("cosine_to_unprojected", 1.0)) < LITTLE_LEFT:
        words.append("little is left of the direction after the projection: it goes together with the others")
    if "moved_sd_when_rendered" in told and not told["moved_sd_when_rendered"]:
        words.append("the scale is a guess from the samples: no rendered faces could be measured")
    for name, cosine in told["cosines"].items():
        if abs(cosine) > ALIKE and name not in wish.orthogonal_to:
            words.append(f"moves much as {name} does (cosine {cosine:+.2f}): see --orthogonal-to {name}")
    return words


def _rounded(numbers: Mapping[str, float]) -> dict[str, float | None]:
    return {
        name: None if not np.isfinite(value) else round(float(value), 4) for name, value in numbers.items()
    }


def _short(value: float) -> float:
    return float(f"{value:.6g}")
