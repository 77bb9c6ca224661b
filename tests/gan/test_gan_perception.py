import pytest
import torch

from stit_vfx.gan.bisenet import CLASSES, MEAN, STD, BiSeNet, foreground_of
from stit_vfx.gan.lpips import Lpips

pytestmark = pytest.mark.usefixtures("gradients_only_where_named")


@pytest.fixture(scope="module")
def lpips(vectors):
    network = vectors.fill(Lpips(), "lpips.")
    for i in range(5):
        getattr(network, f"lin{i}").model[1].weight.data = vectors("lpips_rule", f"lin{i}")
    return network


@pytest.fixture(scope="module")
def parser(vectors):
    return vectors.fill(BiSeNet(), "bisenet.")


def test_perceptual_distance_and_its_gradient_agree_with_reference(lpips, vectors, close):
    a = vectors("lpips_rule", "a").clone().requires_grad_()
    theirs = lpips.features(vectors("lpips_rule", "b"))
    layers = lpips.layers(lpips.features(a), theirs)
    for i, layer in enumerate(layers):
        close(layer.detach(), vectors("lpips_rule", f"layer{i}").flatten())
    total = lpips.distance(a, vectors("lpips_rule", "b"))
    close(total.detach(), vectors("lpips_rule", "value").flatten())
    total.sum().backward()
    close(a.grad, vectors("lpips_rule", "grad_a"), rtol=1e-3)


def test_perceptual_gradient_is_finite_where_nothing_fires():
    network = Lpips()
    for parameter in network.net.parameters():
        parameter.data.zero_()
    image = torch.zeros(1, 3, 64, 64, requires_grad=True)
    network.distance(image, torch.ones(1, 3, 64, 64)).sum().backward()
    assert torch.isfinite(image.grad).all()


def test_parser_has_the_published_names_and_shapes(key_table):
    with torch.device("meta"):
        parser = BiSeNet()
    assert {k: list(t.shape) for k, t in parser.state_dict().items()} == key_table["bisenet19"]


def test_parser_agrees_with_reference(parser, vectors, close):
    x = parser.prepare(vectors("bisenet_io", "x512"))
    scores = parser(x)
    step = scores.shape[-1] // 16
    close(scores[:, :, ::step, ::step], vectors("bisenet_io", "logits_sub"), rtol=1e-4, atol=1e-4)
    agree = (scores.argmax(1) == vectors("bisenet_io", "argmax")).float().mean()
    assert agree > 0.9999
    first, second = scores.topk(2, 1).values.unbind(1)
    close((first - second).min(), vectors("bisenet_io", "margin_min"), rtol=1e-2)
    # Without each class's mean the labels are many, and far from ties.
    levelled = scores - scores.mean((2, 3), keepdim=True)
    theirs = vectors("bisenet_io", "argmax_of_logits_minus_spatial_mean")
    assert (levelled.argmax(1) == theirs).float().mean() > 0.999
    assert len(theirs.unique()) > 5
    for ours, name in zip(parser.auxiliary(x), ("logits16_sub", "logits32_sub"), strict=True):
        close(ours[:, :, ::step, ::step], vectors("bisenet_io", name), rtol=1e-4, atol=1e-4)


def test_parser_takes_images_of_any_size(parser, vectors, close):
    x = parser.prepare(vectors("bisenet_io", "x512"))
    y0, y1, x0, x1 = vectors("bisenet_io", "x96x128_slice").tolist()
    scores = parser(x[:, :, y0:y1, x0:x1])
    close(scores[:, :, ::8, ::8], vectors("bisenet_io", "logits_96x128_sub"), rtol=1e-4, atol=1e-4)


def test_hair_and_neck_are_edited_and_hats_are_not():
    labels = torch.arange(19)[None, None]
    edited = {name for name, on in zip(CLASSES, foreground_of(labels).flatten(), strict=True) if on}
    assert set(CLASSES) - edited == {"background", "cloth", "hat"}


def test_labels_come_at_the_size_of_the_crop(parser, vectors):
    crop = vectors("bisenet_io", "x512")
    labels = parser.parse(crop)
    assert (labels == vectors("bisenet_io", "argmax")).float().mean() > 0.9999
    doubled = parser.parse(crop.repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert torch.equal(doubled[:, ::2, ::2], labels)
    assert torch.equal(doubled[:, 1::2, 1::2], labels)


def test_preparation_takes_every_second_pixel_of_a_full_size_crop(parser, vectors, close):
    crop = torch.zeros(1, 3, 1024, 1024)
    crop[:, :, ::2, ::2] = 1.0
    mean, std = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD).view(1, 3, 1, 1)
    close(parser.prepare(crop), ((1 - mean) / std).expand(1, 3, 512, 512))
