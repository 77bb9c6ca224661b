import pytest
import torch
import torch.nn.functional as F

from stit_vfx.gan.ops import (
    FullyConnected,
    bias_act,
    conv_up2,
    make_filter,
    modulated_conv2d,
    normalise_2nd_moment,
    upfirdn2d,
    upsample2d,
)


def _as_pair(value):
    return tuple(value) if isinstance(value, list) else value


def _cases(vectors, kind):
    return [case for case in vectors.meta["ops_cases"] if case["kind"] == kind]


def test_filters_are_outer_products_of_sum_one(vectors, close):
    close(make_filter((1, 3, 3, 1)), vectors("ops", "filter/f1331"), rtol=0, atol=0)
    close(make_filter((4, 3, 2, 1)), vectors("ops", "filter/fflip"), rtol=1e-6, atol=0)
    close(make_filter((1, 3, 3, 1)) * 128, vectors("ops", "filter/fnn"), rtol=0, atol=0)


@pytest.mark.parametrize("n", range(10))
def test_upfirdn_agrees_with_reference(vectors, close, n):
    case = _cases(vectors, "upfirdn")[n]
    taps = vectors("ops", f"filter/{case['filter']}") if case["filter"] else None
    y = upfirdn2d(
        vectors("ops", "upfirdn/x"),
        taps,
        up=_as_pair(case["up"]),
        down=_as_pair(case["down"]),
        padding=case["padding"],
        flip=case["flip_filter"],
        gain=case["gain"],
    )
    close(y, vectors("ops", f"upfirdn/{n}/y"))


@pytest.mark.parametrize("name", ["f1331", "fasym"])
def test_upsampling_agrees_with_reference(vectors, close, name):
    y = upsample2d(vectors("ops", "upfirdn/x"), vectors("ops", f"filter/{name}"))
    close(y, vectors("ops", f"upsample2d/{name}/y"))


def test_upsampling_keeps_a_flat_image_flat():
    y = upsample2d(torch.full((1, 3, 8, 8), 0.5), make_filter())
    torch.testing.assert_close(y[:, :, 2:-2, 2:-2], torch.full((1, 3, 12, 12), 0.5))


@pytest.mark.parametrize("n", range(27))
def test_activation_and_its_gradient_agree_with_reference(vectors, close, n):
    case = _cases(vectors, "bias_act")[n]
    x = _stored(vectors, "bias_act/x").requires_grad_()
    b = _stored(vectors, "bias_act/b").requires_grad_()
    options = {k: case[k] for k in ("act", "alpha", "gain", "clamp") if k in case}
    y = bias_act(x, b, **options)
    y.square().sum().backward()
    close(y.detach(), vectors("ops", f"bias_act/{n}/y"))
    close(x.grad, vectors("ops", f"bias_act/{n}/gx"), atol=1e-4)
    close(b.grad, vectors("ops", f"bias_act/{n}/gb"), atol=1e-4)


def _stored(vectors, key):
    return vectors("ops", key).clone()


@pytest.mark.parametrize("name", ["f1331", "fasym"])
@pytest.mark.parametrize("down", [1, 2])
def test_filtering_at_one_size_and_at_half_agrees_with_reference(vectors, close, name, down):
    taps = vectors("ops", f"filter/{name}")
    around = _around(taps, down=down)
    y = upfirdn2d(vectors("ops", "upfirdn/x"), taps, down=down, padding=around)
    close(y, vectors("ops", f"{'filter2d' if down == 1 else 'downsample2d'}/{name}/y"))


def _around(taps, *, down, extra=0):
    """Padding that keeps the filter centred, (left, right, top, bottom)."""
    tall, wide = taps.shape
    return [extra + (size - down + more) // 2 for size in (wide, tall) for more in (1, 0)]


@pytest.mark.parametrize("n", range(8))
def test_convolution_at_any_size_agrees_with_reference(vectors, close, n):
    case = _cases(vectors, "conv")[n]
    x, weight = vectors("ops", f"conv/{n}/x"), vectors("ops", f"conv/{n}/w")
    # `flip_weight` asks for a correlation, which is what torch does; a convolution has its kernel flipped.
    correlation = weight if case["flip_weight"] else weight.flip((2, 3))
    parts = zip(x.chunk(case["groups"], 1), correlation.chunk(case["groups"]), strict=True)
    y = torch.cat([_resampled(vectors, part, kernel, case) for part, kernel in parts], 1)
    close(y, vectors("ops", f"conv/{n}/y"))


def _resampled(vectors, x, correlation, case):
    if case["up"] == 2:
        return conv_up2(x, correlation.flip((2, 3)), vectors("ops", "filter/f1331"))
    padding = case["padding"]
    if case["down"] == 2:
        taps = vectors("ops", "filter/f1331")
        x, padding = upfirdn2d(x, taps, padding=_around(taps, down=2, extra=padding)), 0
    return F.conv2d(x, correlation, stride=case["down"], padding=padding)


@pytest.mark.parametrize("n", range(6))
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_modulated_convolution_and_its_gradient_agree_with_reference(vectors, close, n, layout):
    case = _cases(vectors, "mod")[n]
    x, w, s = (vectors("ops", f"mod/{n}/{k}").clone().requires_grad_() for k in "xws")
    y = modulated_conv2d(
        x.contiguous(memory_format=layout),
        _as_kernel(w, case),
        s,
        demodulate=case["demodulate"],
        up_taps=vectors("ops", "filter/f1331") if case["up"] == 2 else None,
    )
    if _has(vectors, f"mod/{n}/noise"):
        y = y + vectors("ops", f"mod/{n}/noise")
    y.square().mean().backward()
    for form in ("fused", "unfused"):
        close(y.detach(), vectors("ops", f"mod/{n}/y_{form}"))
    for ours, key in ((x.grad, "gx"), (w.grad, "gw"), (s.grad, "gs")):
        close(ours, vectors("ops", f"mod/{n}/{key}"))


def _as_kernel(weight, case):
    """Layers that double the size store kernels of true convolutions, the others of correlations."""
    return weight.flip((2, 3)) if case["flip_weight"] == (case["up"] == 2) else weight


def _has(vectors, key):
    try:
        vectors("ops", key)
    except KeyError:
        return False
    return True


def test_half_precision_stays_finite_with_huge_styles():
    x = torch.randn(2, 64, 8, 8, generator=torch.Generator().manual_seed(0)).half()
    w = torch.randn(16, 64, 3, 3, generator=torch.Generator().manual_seed(1)) * 100
    styles = torch.full((2, 64), 500.0)
    y = modulated_conv2d(x, w, styles)
    expected = modulated_conv2d(x.float(), w, styles)
    torch.testing.assert_close(y.float(), expected, rtol=2e-2, atol=2e-2)


def test_normalisation_agrees_with_reference(vectors, close):
    close(normalise_2nd_moment(vectors("ops", "norm2/x")), vectors("ops", "norm2/y"))


def test_fully_connected_layers_agree_with_reference(vectors, close):
    plain, fast = FullyConnected(10, 7), FullyConnected(10, 7, act="lrelu", lr=0.01)
    for layer, name in ((plain, "linear"), (fast, "lrelu")):
        layer.weight.data = vectors("ops", f"fc/{name}/w")
        layer.bias.data = vectors("ops", f"fc/{name}/b")
        close(layer(vectors("ops", f"fc/{name}/x")), vectors("ops", f"fc/{name}/y"))
