import numpy as np
import pytest
import torch

from stit_vfx.errors import UnknownDirectionError
from stit_vfx.gan.stylegan2 import ToRGB
from stit_vfx.steps.edit import freeze_fine_layers, published_edit, text_difference, text_direction


def test_published_edit_takes_row_0_at_half_the_factor():
    rng = np.random.default_rng(0)
    ws, direction = rng.normal(size=(2, 18, 512)).astype(np.float32), rng.normal(size=(18, 512))
    moved = published_edit(ws, direction, -4.0)
    assert moved.dtype == np.float64
    for row in range(18):
        np.testing.assert_allclose(moved[:, row] - ws[:, row], -2.0 * direction[[0, 0]], rtol=1e-12)


def test_fine_layers_are_frozen_to_their_mean(vectors):
    ours = freeze_fine_layers(vectors("edit", "freeze_in").numpy(), 4)
    np.testing.assert_allclose(ours, vectors("edit", "freeze4").numpy(), rtol=1e-6, atol=1e-6)


def _text(vectors):
    neutral, target = vectors("edit", "sc/class_weights").T.double().numpy()
    return target, neutral


def _layout(model):
    layers = model.network.synthesis.style_layers()
    return model.network.synthesis.style_sizes(), [isinstance(layer, ToRGB) for layer in layers]


def test_text_direction_agrees_with_reference(model, vectors):
    target, neutral = _text(vectors)
    text = target - neutral
    sizes, rgb = _layout(model)
    found = text_direction(
        vectors("edit", "sc/di").numpy(), text / np.linalg.norm(text), beta=0.2, sizes=sizes, rgb=rgb
    )
    reference = vectors("edit", "sc/direction_beta0.2").numpy()
    assert found.kept == np.count_nonzero(reference)
    assert found.conv_channels == 368 == sum(n for n, is_rgb in zip(sizes, rgb, strict=True) if not is_rgb)
    parts = [vectors("edit", f"sc/to_styles_{i:02d}").numpy() for i in range(14)]
    np.testing.assert_allclose(found.vector, np.concatenate(parts), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("n", "factor"), [(0, 2.0), (1, 10.0)])
def test_image_after_a_text_edit_agrees_with_reference(model, vectors, n, factor):
    offset = torch.cat([vectors("edit", f"sc/to_styles_{i:02d}") for i in range(14)])[None] * factor
    image = model.synthesize(vectors("sg2ada_io", "wplus")[:1], None, style=offset)
    torch.testing.assert_close(image, vectors("edit", f"sc/img_{n}"), rtol=1e-4, atol=1e-3)


def test_a_beta_that_leaves_nothing_is_an_error_that_says_what_would_do():
    with pytest.raises(UnknownDirectionError, match=r"strongest has 0\.500.*below 0\.500"):
        text_direction(np.eye(4) * 0.5, np.eye(4)[0], beta=0.6, sizes=[4], rgb=[False])


def test_text_difference_is_a_unit_vector_towards_the_target():
    prompts = np.random.default_rng(0).normal(size=(2, 5, 8))
    found = text_difference(prompts[0] + [3, *[0] * 7], prompts[1])
    assert np.linalg.norm(found) == pytest.approx(1)
    assert found[0] > 0
