"""From a text to a style direction, against the same arithmetic written out independently."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_text import CHANNELS, CONV_CHANNELS, DIMENSIONS, ROWS, VECTORS
from tiny_text import expected_direction as expected

from stit_vfx.errors import JobFieldError, PackFormatError, UnknownDirectionError
from stit_vfx.job import Edit
from stit_vfx.packs.load import Pack, load_pack
from stit_vfx.packs.model import Code
from stit_vfx.text.direction import BETAS, Basis, StyleLayout, TextMove, beta_rows, text_move
from stit_vfx.text.library import open_clip
from stit_vfx.text.moves import TextPart, text_moves

LAYOUT = StyleLayout((CHANNELS,) * len(VECTORS), tuple(name == "rgb" for name in VECTORS), ROWS)


def an_edit(**fields: Any) -> Edit:
    return Edit(**{"text": "a smiling face", "strength": 1.0, **fields})


def a_difference(seed: int = 9) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=DIMENSIONS)
    return vector / np.linalg.norm(vector)


def embedded(clip: Any, text: str) -> np.ndarray:
    """Mean of the unit embeddings of 80 prompts, from open_clip's whole CLIP."""
    templates = open_clip().OPENAI_IMAGENET_TEMPLATES
    with torch.no_grad():
        rows = clip.encode_text(open_clip().tokenize([each(text) for each in templates])).double().numpy()
    mean = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).mean(0)
    return mean / np.linalg.norm(mean)


def moves_of(pack: Pack, *edits: Edit, known: Mapping[str, np.ndarray] | None = None) -> Any:
    return text_moves(edits, pack, known=(known or {}).get)


@pytest.fixture(scope="module")
def loaded(pack: Path) -> Pack:
    return load_pack(pack)


def test_a_texts_direction_agrees_with_the_arithmetic_written_out(
    loaded: Pack, clip: Any, basis: np.ndarray
) -> None:
    found = moves_of(loaded, an_edit(beta=0.1, amount=6.0)).moves[0]
    difference = embedded(clip, "a smiling face") - embedded(clip, "face")
    wanted = expected(basis, difference / np.linalg.norm(difference), 0.1)
    np.testing.assert_allclose(found.direction.vector, wanted, rtol=0, atol=1e-4)
    assert found.kept == np.count_nonzero(wanted)
    assert 5 < found.kept < 0.9 * CONV_CHANNELS
    assert found.channels == CONV_CHANNELS == 112
    assert (found.direction.space, found.direction.scale) == ("style", 6.0)
    # The difference of two near embeddings magnifies single precision; beta itself cuts nothing in between.
    assert np.abs(np.abs(wanted[wanted != 0]).min() - 0.1) > 1e-4


def test_with_std_every_channel_moves_in_units_of_its_own_spread(basis: np.ndarray, std: np.ndarray) -> None:
    difference = a_difference()
    with_std = text_move(an_edit(), difference, Basis(basis, std), LAYOUT)
    without = text_move(an_edit(), difference, Basis(basis), LAYOUT)
    wanted = expected(basis, difference, 0.12, std)
    np.testing.assert_allclose(with_std.direction.vector, wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(without.direction.vector, expected(basis, difference, 0.12), atol=1e-6)
    assert (with_std.record()["scaled_by"], without.record()["scaled_by"]) == ("std", "nothing")


def test_a_move_says_how_many_channels_and_which_layers(basis: np.ndarray) -> None:
    difference = a_difference()
    found = text_move(an_edit(beta=0.2), difference, Basis(basis), LAYOUT)
    vector = expected(basis, difference, 0.2)
    power = {row: np.sqrt((vector[row == ROWS] ** 2).sum()) for row in range(8)}
    strongest = sorted(power, key=lambda row: -power[row])[:3]
    assert list(found.layers) == strongest
    told = f'text "a smiling face": {found.kept} of 112 channels move, strongest in layers '
    assert found.line() == told + ", ".join(map(str, strongest))
    assert found.highest_beta == pytest.approx(np.abs(basis @ difference).max(), rel=1e-6)


def test_layers_limit_what_a_text_moves(loaded: Pack, basis: np.ndarray) -> None:
    difference = a_difference()
    edit = an_edit(layers=(1, 2))
    found = text_move(edit, difference, Basis(basis), LAYOUT)
    whole = expected(basis, difference, 0.12)
    assert found.within == np.count_nonzero(whole[np.isin(ROWS, (1, 2))]) < found.kept
    assert f"({found.within} of them in the edit's layers)" in found.line()
    assert set(found.layers) == {1, 2}
    code = Code(np.zeros((8, 32), np.float32))
    moved = loaded.model.move(code, [(found.direction, 0.5)])
    assert moved.style is not None
    np.testing.assert_allclose(moved.style, np.where(np.isin(ROWS, (1, 2)), 4 * whole, 0), atol=1e-5)
    assert not moved.ws.any()


def test_layers_in_which_a_text_moves_nothing_are_an_error_that_says_where_it_does(basis: np.ndarray) -> None:
    difference = a_difference()
    one = basis.copy()
    one[3 * CHANNELS :] = 0  # b4.conv1, b8.conv0 and b8.conv1 alone: rows 0, 1 and 2
    with pytest.raises(UnknownDirectionError, match=r"nothing in layers 6, 7.*strongest in layers"):
        text_move(an_edit(layers=(6, 7)), difference, Basis(one), LAYOUT)


@pytest.mark.parametrize(("beta", "few"), [(0.0, False), (0.44, True)])
def test_too_few_channels_or_nearly_all_are_odd_and_advice_says_what_to_do(
    basis: np.ndarray, beta: float, few: bool
) -> None:
    found = text_move(an_edit(beta=beta), a_difference(), Basis(basis), LAYOUT)
    assert (found.kept < 5) == few
    assert found.odd
    way = "Lower" if few else "Raise"
    assert f"{found.kept} of 112 channels move at beta {beta:g}. {way} --beta" in found.advice()
    assert not text_move(an_edit(beta=0.15), a_difference(), Basis(basis), LAYOUT).odd


def test_the_table_says_for_every_beta_what_an_edit_would(basis: np.ndarray) -> None:
    difference = a_difference()
    rows = beta_rows(difference, Basis(basis), LAYOUT, betas=(*BETAS, 0.9))
    for row in rows[:-1]:
        move = text_move(an_edit(beta=row.beta), difference, Basis(basis), LAYOUT)
        assert (row.kept, row.channels, row.layers) == (move.kept, move.channels, move.layers)
    assert (rows[-1].kept, rows[-1].layers) == (0, ())
    assert [row.kept for row in rows] == sorted((row.kept for row in rows), reverse=True)


def test_the_layout_is_the_generators(loaded: Pack) -> None:
    layout = StyleLayout.of(loaded.model.network.synthesis)  # type: ignore[attr-defined]
    assert (layout.sizes, layout.rgb) == (LAYOUT.sizes, LAYOUT.rgb)
    np.testing.assert_array_equal(layout.rows, ROWS)
    assert (layout.channels, layout.conv_channels) == (176, 112)


def test_a_text_that_says_what_the_neutral_says_is_an_error_at_its_place(loaded: Pack) -> None:
    with pytest.raises(
        UnknownDirectionError, match=r"edits\[1\]: the text ' Face' says the same as .*'face'"
    ):
        moves_of(loaded, Edit(direction="smile", strength=1.0), an_edit(text=" Face"))


def test_a_beta_that_leaves_nothing_names_the_edit_and_the_highest_that_does(loaded: Pack) -> None:
    with pytest.raises(
        UnknownDirectionError, match=r"edits\[0\]: beta 0\.9 leaves no channel.*Use a beta below"
    ):
        moves_of(loaded, an_edit(beta=0.9))


def test_a_text_too_long_names_the_edit(loaded: Pack) -> None:
    with pytest.raises(JobFieldError, match=r"edits\[0\]: the text .* tokens"):
        moves_of(loaded, an_edit(text="a " * 100))


def test_a_pack_without_texts_says_what_it_lacks_and_how_to_get_it(plain_pack: Path) -> None:
    told = r"pack tiny has no text part and no style basis.*stit packs convert ViT-B-32\.pt fs3\.npy"
    with pytest.raises(UnknownDirectionError, match=told):
        moves_of(load_pack(plain_pack), an_edit())
    with pytest.raises(UnknownDirectionError, match="builtin has no StyleGAN2 generator"):
        TextPart.of(load_pack("builtin"))


def test_a_basis_of_another_clip_is_refused(make_pack: Callable[..., Path]) -> None:
    pack = load_pack(make_pack(basis=np.eye(CONV_CHANNELS, 16, dtype=np.float32)))
    with pytest.raises(PackFormatError, match=r"embeddings of 16 numbers, and text gives 32.*ViT-B-32"):
        moves_of(pack, an_edit())


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        ({"other": np.zeros(3, np.float32)}, "has no tensor basis"),
        ({"basis": np.zeros((6048, 32), np.float32)}, r"basis is \(6048, 32\) where \(112, D\)"),
        ({"std": np.ones(112, np.float32)}, r"std is \(112,\) where \(176,\)"),
        ({"std": np.full(176, np.nan, np.float32)}, "not finite"),
    ],
)
def test_a_basis_that_does_not_fit_the_generator_is_refused(
    make_pack: Callable[..., Path], basis: np.ndarray, tensors: dict[str, np.ndarray], told: str
) -> None:
    given = tensors if {"basis", "other"} & set(tensors) else {"basis": basis, **tensors}
    with pytest.raises(PackFormatError, match=told):
        load_pack(make_pack(**given)).style_basis  # noqa: B018


def test_the_network_is_loaded_once_for_all_texts_and_let_go_of(
    loaded: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stit_vfx.text import clip

    loads = []
    real = clip.load_text_net
    monkeypatch.setattr(
        clip, "load_text_net", lambda *each, **more: loads.append(each) or real(*each, **more)
    )
    edits = [an_edit(beta=0.05), an_edit(text="an old face", beta=0.05), an_edit(beta=0.05, layers=(1,))]
    first = moves_of(loaded, *edits)
    assert len(loads) == 1
    assert len(first.differences) == 2
    assert "text" not in vars(loaded)
    again = moves_of(loaded, *edits, known=first.differences)
    assert len(loads) == 1
    for ours, theirs in zip(first.moves.values(), again.moves.values(), strict=True):
        assert isinstance(ours, TextMove)
        np.testing.assert_array_equal(ours.direction.vector, theirs.direction.vector)
    assert moves_of(loaded, Edit(direction="smile", strength=1.0)).moves == {}
    assert len(loads) == 1


def test_a_neutral_text_of_ones_own_gives_another_direction(loaded: Pack) -> None:
    both = moves_of(loaded, an_edit(beta=0.05), an_edit(beta=0.05, neutral="a sad face", layers=(0, 1, 2, 3)))
    ours, theirs = (move.direction.vector for move in both.moves.values())
    assert np.abs(ours - theirs).max() > 0.1
