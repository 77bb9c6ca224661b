"""Hyperplanes and slopes against a truth that is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from learning_pack import side

from stit_vfx.errors import JobError, JobFieldError, UnknownDirectionError
from stit_vfx.learning.labels import Target, read_column
from stit_vfx.learning.learn import Learned, Wish, learn
from stit_vfx.learning.linear import Recipe, fit_line, orthogonal, separability, span
from stit_vfx.learning.samples import Samples
from stit_vfx.packs.load import Pack


def column(samples: Samples, name: str) -> Target:
    return read_column(samples.folder / "labels.csv", name, samples.files)


def learned(pack: Pack, samples: Samples, target: Target, **wish: Any) -> Learned:
    return learn(pack, samples, target, Wish(name="own", **wish))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def bayes_auc(steepness: float) -> float:
    """The best area under the curve for P(yes | v) = sigmoid(steepness v), v normal: by sums over a grid."""
    v = np.linspace(-8, 8, 4001)
    density = np.exp(-(v**2) / 2)
    yes = density / (1 + np.exp(-steepness * v))
    no = density - yes
    below = np.cumsum(no) - no / 2
    return float((yes * below).sum() / yes.sum() / no.sum())


def test_a_known_hyperplane_is_found(pack: Pack, samples: Samples, truth: np.ndarray) -> None:
    found = learned(pack, samples, column(samples, "sure"))
    assert found.direction.vector is not None
    assert cosine(found.direction.vector, truth) > 0.97
    assert np.linalg.norm(found.direction.vector) == pytest.approx(1, abs=1e-6)
    assert found.measured["roc_auc"] > 0.99
    assert found.measured["balanced_accuracy"] > 0.93


def test_separability_of_noisy_labels_is_what_is_possible_and_no_more(
    pack: Pack, samples: Samples, truth: np.ndarray
) -> None:
    target = column(samples, "noisy")
    found = learned(pack, samples, target)
    assert found.direction.vector is not None
    assert cosine(found.direction.vector, truth) > 0.85
    # What the truth itself scores on these very labels is the most that anyone can.
    from sklearn.metrics import roc_auc_score

    best_here = roc_auc_score(target.values, side(samples, truth))
    assert best_here == pytest.approx(bayes_auc(3.0), abs=0.03)
    assert best_here - 0.05 < found.measured["roc_auc"] <= best_here + 0.005


def test_separability_approaches_the_bayes_value_with_many_samples() -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((4000, 16))
    labels = (rng.random(4000) < 1 / (1 + np.exp(-2 * features[:, 3]))).astype(float)
    scores = separability(features, labels, "binary", Recipe("svm"))
    # The spread of an area from 4000 samples is 0.008.
    assert scores["roc_auc"] == pytest.approx(bayes_auc(2.0), abs=0.02)


def test_labels_drawn_by_lot_are_told_from_labels_that_mean_something(pack: Pack, samples: Samples) -> None:
    rng = np.random.default_rng(1)
    by_lot = Target("lot", rng.integers(0, 2, len(samples.files)).astype(float), "binary")
    found = learned(pack, samples, by_lot)
    assert found.measured["roc_auc"] <= found.measured["chance_up_to"]
    assert any("no better than chance" in words for words in found.warnings)
    number = Target("lot", rng.standard_normal(len(samples.files)), "numeric")
    assert any("no better than chance" in words for words in learned(pack, samples, number).warnings)
    assert not any("chance" in words for words in learned(pack, samples, column(samples, "sure")).warnings)


def test_the_choice_of_channels_is_made_anew_in_every_fold() -> None:
    rng = np.random.default_rng(4)
    features, labels = rng.standard_normal((60, 3000)), np.tile([0.0, 1.0], 30)
    scores = separability(features, labels, "binary", Recipe("svm", each=True, channels=20))
    # Chosen once on all samples, noise would seem to separate: above 0.9.
    assert scores["roc_auc"] < scores["chance_up_to"] + 0.05


def test_a_slope_is_found_and_strength_1_moves_the_label_by_two_deviations(
    pack: Pack, samples: Samples, truth: np.ndarray
) -> None:
    target = column(samples, "number")
    found = learned(pack, samples, target)
    assert found.measured["method"] == "regression"
    assert found.measured["r2"] > 0.97
    assert found.measured["rank_correlation"] > 0.97
    assert found.direction.vector is not None
    step = found.direction.scale * found.direction.vector
    # The label is 50 + 10 (w . truth) / spread: what a step changes it by is known exactly.
    read = samples.ws[:, 0] @ truth
    moved = 10 * float(step @ truth) / read.std()
    assert moved == pytest.approx(2 * target.values.std(), rel=0.06)
    half = learned(pack, samples, target, deviations=1.0)
    assert half.direction.scale == pytest.approx(found.direction.scale / 2, rel=1e-6)


def test_the_range_ends_where_samples_end(pack: Pack, samples: Samples) -> None:
    found = learned(pack, samples, column(samples, "sure")).direction
    assert found.vector is not None
    spread = (samples.ws[:, 0] @ found.vector).std()
    assert found.scale == pytest.approx(2 * spread, rel=1e-3)
    assert found.range == (-2.0, 2.0)


@pytest.mark.parametrize(
    ("space", "others"), [("w", ("smile", "age")), ("w", ("rows",)), ("style", ("lips",))]
)
def test_orthogonal_directions_are_orthogonal_exactly(
    pack: Pack, samples: Samples, space: Any, others: tuple[str, ...]
) -> None:
    found = learned(pack, samples, column(samples, "sure"), space=space, orthogonal_to=others)
    for name in others:
        assert abs(found.measured["cosines"][name]) < 1e-4
        ours, theirs = np.float64(found.direction.vector), np.float64(pack.directions[name].vector)
        rows = theirs.sum(0) if theirs.ndim == 2 else theirs
        assert abs(cosine(ours, rows)) < 1e-6
    assert found.measured["cosine_to_unprojected"] < 1
    assert found.measured["orthogonal_to"] == list(others)


def test_within_layers_only_the_layers_count(pack: Pack, samples: Samples) -> None:
    found = learned(pack, samples, column(samples, "sure"), layers=(0, 1), orthogonal_to=("rows",))
    assert found.direction.layers == (0, 1)
    rows = np.float64(pack.directions["rows"].vector)[:2].sum(0)
    assert abs(cosine(np.float64(found.direction.vector), rows)) < 1e-6


def test_along_the_samples_a_direction_goes_where_they_go_and_stays_orthogonal() -> None:
    rng = np.random.default_rng(5)
    mixing = rng.standard_normal((8, 8))
    features = rng.standard_normal((3000, 8)) @ mixing.T
    normal = rng.standard_normal(8)
    values = features @ normal + 0.1 * rng.standard_normal(3000)
    line = fit_line(features, values, Recipe("regression", "samples"))
    assert cosine(line.reading, normal) > 0.999
    # As the value grows, the mean of the samples moves along the covariance times the normal.
    assert cosine(line.move, mixing @ mixing.T @ normal) > 0.99
    high, low = features[values > np.quantile(values, 0.9)], features[values < np.quantile(values, 0.1)]
    assert cosine(line.move, high.mean(0) - low.mean(0)) > 0.99
    others = rng.standard_normal((8, 2))
    free = fit_line(features, values, Recipe("regression", "samples"), against=others)
    assert np.abs(free.move @ others).max() < 1e-9
    assert np.corrcoef(features @ free.reading, values)[0, 1] > 0.3
    assert free.gain > 0


def test_projection_off_dependent_directions_is_projection_off_their_span() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 10))
    against = np.stack([a, b, a + 2 * b, np.zeros(10)], 1)
    assert span(against).shape == (10, 2)
    left = orthogonal(rng.standard_normal(10), against)
    assert np.abs(against.T @ left).max() < 1e-12
    with pytest.raises(JobError, match="nothing is left"):
        orthogonal(a - 3 * b, against)


def test_style_channels_that_matter_are_found_and_the_others_stay(pack: Pack, samples: Samples) -> None:
    rng = np.random.default_rng(8)
    styles = rng.standard_normal((400, 120)) * np.geomspace(0.01, 10, 120)
    standard = styles / styles.std(0)
    labels = Target("s", (standard[:, [5, 50, 110]].sum(1) > 0).astype(float), "binary")
    spread = replace(
        samples, styles=np.pad(styles, ((0, 0), (0, samples.styles.shape[1] - 120))).astype(np.float32)
    )
    found = learned(pack, spread, labels, space="style", channels=3)
    assert np.flatnonzero(found.direction.vector).tolist() == [5, 50, 110]
    assert found.measured["channels"] == 3
    # Each moves by as many of its own deviations, whatever its unit.
    steps = found.direction.vector[[5, 50, 110]] / styles.std(0)[[5, 50, 110]]
    assert steps.max() / steps.min() < 1.3


def test_style_directions_stay_within_layers(pack: Pack, samples: Samples) -> None:
    found = learned(pack, samples, column(samples, "sure"), space="style", layers=(2, 3))
    rows = pack.model.network.synthesis.channel_rows()
    assert set(rows[np.flatnonzero(found.direction.vector)]) <= {2, 3}


def test_numbers_become_classes_at_their_ends_for_an_svm(
    pack: Pack, samples: Samples, truth: np.ndarray
) -> None:
    found = learned(pack, samples, column(samples, "number"), method="svm")
    assert found.measured["classes_are"] == "the lowest and the highest third"
    assert cosine(found.direction.vector, truth) > 0.92


def test_the_same_samples_give_the_same_bits(pack: Pack, samples: Samples) -> None:
    one, other = (learned(pack, samples, column(samples, "noisy"), seed=3) for _ in range(2))
    assert np.array_equal(one.direction.vector, other.direction.vector)
    assert one.measured == other.measured


def test_strong_likeness_few_samples_and_unbalanced_classes_are_told(pack: Pack, samples: Samples) -> None:
    smile = np.float64(pack.directions["smile"].vector)
    value = samples.ws[:, 0] @ smile
    few = np.full(len(value), np.nan)
    few[:100] = value[:100] > np.sort(value[:100])[-9]
    found = learned(pack, samples, Target("like", few, "binary"))
    assert found.measured["classes"] == {"1": 8, "0": 92}
    assert found.measured["left_out"] == 300
    told = " ".join(found.warnings)
    assert "8 samples are few" in told
    assert "unbalanced, 8 to 92" in told
    like = learned(pack, samples, Target("like", (value > np.median(value)).astype(float), "binary"))
    assert any("moves much as smile does" in words for words in like.warnings)


@pytest.mark.parametrize(
    ("target", "wish", "error", "words"),
    [
        (np.ones(400), {}, JobFieldError, "0 samples are '0'"),
        (np.full(400, np.nan), {}, JobFieldError, "0 samples are '1'"),
        (np.r_[np.ones(4), np.zeros(396)], {}, JobFieldError, "4 samples are '1'"),
        (np.r_[np.arange(9), np.full(391, np.nan)], {}, JobFieldError, "9 samples have a number"),
        (
            np.r_[np.full(20, 3.0), np.full(380, np.nan)],
            {"method": "regression"},
            JobFieldError,
            "same number",
        ),
        (None, {"space": "w+"}, JobFieldError, "only transformers"),
        (None, {"layers": (7, 8)}, JobFieldError, "layers 0 to 7"),
        (None, {"orthogonal_to": ("grin",)}, UnknownDirectionError, "no direction 'grin'"),
        (None, {"orthogonal_to": ("lips",)}, JobFieldError, "it is in style"),
        (None, {"space": "style", "orthogonal_to": ("age",)}, JobFieldError, "it is in w"),
    ],
)
def test_what_cannot_be_learned_is_said(
    pack: Pack, samples: Samples, target: Any, wish: Any, error: type[Exception], words: str
) -> None:
    kind: Any = "binary"
    if target is not None and (len(np.unique(target[np.isfinite(target)])) > 2 or "method" in wish):
        kind = "numeric"
    given = column(samples, "sure") if target is None else Target("t", np.asarray(target), kind)
    with pytest.raises(error, match=words):
        learned(pack, samples, given, **wish)


def test_samples_that_are_all_alike_are_refused() -> None:
    with pytest.raises(JobError, match="all alike"):
        fit_line(np.ones((20, 4)), np.tile([0.0, 1.0], 10), Recipe("svm"))
