import time
import zlib

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from stit_vfx.gan.stylegan2 import Generator, GeneratorConfig

pytestmark = pytest.mark.usefixtures("gradients_only_where_named")

TINY = GeneratorConfig(
    resolution=64, z_dim=64, w_dim=64, channel_base=1024, channel_max=48, num_fp16_res=2, conv_clamp=256
)

WHOLE_GRADIENTS = (
    *("synthesis.b4.const", "synthesis.b8.conv0.weight", "synthesis.b16.conv1.noise_strength"),
    *("synthesis.b64.conv0.affine.weight", "synthesis.b64.torgb.weight"),
)


@pytest.fixture(scope="module")
def tiny(vectors):
    generator = Generator(TINY)
    generator.load_state_dict(load_file(vectors.folder / "sg2ada_tiny.safetensors"))
    return generator.eval()


def test_config_f_has_the_published_names_shapes_and_size(key_table):
    with torch.device("meta"):
        generator = Generator(GeneratorConfig(1024))
    shapes = {name: list(t.shape) for name, t in generator.state_dict().items()}
    assert shapes == key_table["nvidia_ffhq1024_G_ema"]
    assert sum(p.numel() for p in generator.parameters()) == 30_370_060
    assert GeneratorConfig(1024).num_ws == 18
    assert len(generator.synthesis.style_sizes()) == 26
    assert sum(generator.synthesis.style_sizes()) == 9088


@pytest.mark.parametrize(
    ("name", "psi", "cutoff"), [("w_psi1", 1, None), ("w_psi0.7", 0.7, None), ("w_psi0.5_cutoff4", 0.5, 4)]
)
def test_mapping_agrees_with_reference(tiny, vectors, close, name, psi, cutoff):
    ws = tiny.mapping(vectors("sg2ada_io", "z"), psi=psi, cutoff=cutoff)
    close(ws, vectors("sg2ada_io", name))


@pytest.mark.parametrize("noise", ["const", "none"])
def test_image_agrees_with_reference(tiny, vectors, close, noise):
    image = tiny.synthesis(vectors("sg2ada_io", "wplus"), noise=noise)
    close(image, vectors("sg2ada_io", f"img_{noise}_fp32"), atol=1e-4)
    if noise == "const":
        close(image, vectors("sg2ada_io", "img_const_fp32_unfused"), atol=1e-4)


@pytest.mark.parametrize(("resolution", "step"), [(4, 1), (8, 1), (16, 1), (32, 4), (64, 4)])
def test_features_of_every_block_agree_with_reference(tiny, vectors, close, resolution, step):
    found = []
    block = getattr(tiny.synthesis, f"b{resolution}")
    hook = block.register_forward_hook(lambda _block, _given, outputs: found.append(outputs[0]))
    tiny.synthesis(vectors("sg2ada_io", "wplus")[:1])
    hook.remove()
    close(found[0][:, :, ::step, ::step], vectors("sg2ada_io", f"feat_b{resolution}"), atol=1e-4)


def test_styles_and_the_image_from_styles_agree_with_reference(tiny, vectors, close):
    styles = tiny.synthesis.styles(vectors("sg2ada_io", "wplus"))
    assert len(styles) == 14
    for i, style in enumerate(styles):
        close(style, vectors("sg2ada_io", f"style_{i:02d}"))
    close(tiny.synthesis.render(styles), vectors("sg2ada_io", "img_from_styles"), atol=1e-4)


def test_style_offsets_add_to_what_the_rows_ask_for(tiny, vectors, close):
    ws = vectors("sg2ada_io", "wplus")[:1]
    offset = torch.randn(1, sum(tiny.synthesis.style_sizes()), generator=torch.Generator().manual_seed(3))
    parts = offset.split(tiny.synthesis.style_sizes(), 1)
    moved = [a + b for a, b in zip(tiny.synthesis.styles(ws), parts, strict=True)]
    close(tiny.synthesis(ws, style=offset), tiny.synthesis.render(moved), rtol=0, atol=0)


def test_mixed_precision_is_near_single_precision(tiny, vectors, close):
    ws = vectors("sg2ada_io", "wplus")[:1]
    image = tiny.synthesis(ws, half=True)
    assert not torch.equal(image, tiny.synthesis(ws))
    close(image, vectors("sg2ada_io", "img_const_mixed_fp16"), rtol=0, atol=2e-2)


def test_gradient_agrees_with_reference(tiny, vectors, close):
    tiny.zero_grad()
    ws = vectors("sg2ada_io", "wplus")[:1].clone().requires_grad_()
    loss = (tiny.synthesis(ws) - vectors("sg2ada_io", "grad_target")).square().mean()
    loss.backward()
    close(loss.detach(), vectors("sg2ada_io", "grad_loss"))
    close(ws.grad, vectors("sg2ada_io", "grad_w"))
    for name, parameter in tiny.synthesis.named_parameters(prefix="synthesis"):
        close(parameter.grad.norm(), vectors("sg2ada_io", f"gradnorm/{name}"), rtol=1e-4)
        if name in WHOLE_GRADIENTS:
            close(parameter.grad, vectors("sg2ada_io", f"grad/{name}"), rtol=1e-4)


def test_random_noise_differs_between_calls_and_repeats_with_the_seed(tiny, vectors):
    ws = vectors("sg2ada_io", "wplus")[:1]
    torch.manual_seed(1)
    first, second = tiny.synthesis(ws, noise="random"), tiny.synthesis(ws, noise="random")
    torch.manual_seed(1)
    assert torch.equal(tiny.synthesis(ws, noise="random"), first)
    assert not torch.equal(first, second)


def test_channels_follow_a_table_where_no_rule_says_them():
    config = GeneratorConfig(64, w_dim=32, z_dim=32, channels=(16, 16, 16, 12, 8), mapping_lr=0.5)
    generator = Generator(config)
    assert [config.channels_at(r) for r in config.resolutions] == [16, 16, 16, 12, 8]
    assert generator.synthesis.b64.conv0.weight.shape == (8, 12, 3, 3)
    assert generator.synthesis.style_sizes()[-3:] == [12, 8, 8]
    assert generator.synthesis(torch.zeros(1, 10, 32)).shape == (1, 3, 64, 64)
    # Stored weights are divided by the rate, and multiplied by it when they act.
    assert 1.5 < generator.mapping.fc0.weight.std() < 2.5


@pytest.fixture(scope="module")
def full_width(vectors, key_table):
    """The 512 channel generator at 64 px that a rule of rosinality names fills."""
    generator = Generator(GeneratorConfig(64))
    state = generator.state_dict()
    for theirs, ours, _how in key_table["rosinality_to_nvidia"]:
        if ours in state:
            state[ours] = _by_rule(theirs, tuple(state[ours].shape), vectors.seed)
    generator.load_state_dict(state)
    return generator.eval()


def _by_rule(name, shape, seed):
    """The number rule of these vectors; a reshaped tensor is drawn the same, row after row."""
    random = np.random.RandomState((zlib.crc32(f"ros/{name}".encode()) + seed) & 0xFFFFFFFF)
    drawn = random.standard_normal(shape)
    if name.startswith("style."):
        drawn = drawn * (100 if name.endswith("weight") else 10)
    elif name.endswith("modulation.bias"):
        drawn = 1 + 0.2 * drawn
    elif name.endswith("noise.weight"):
        drawn = 0.15 * drawn
    elif name.endswith("bias"):
        drawn = 0.2 * drawn
    return torch.as_tensor(drawn).float()


def test_a_full_width_generator_agrees_with_the_other_code_of_the_same_network(full_width, vectors, close):
    ws = full_width.mapping(vectors("rosinality_rule_io", "z"))
    close(ws[:, 0], vectors("rosinality_rule_io", "w"), rtol=1e-4)
    image = full_width.synthesis(vectors("rosinality_rule_io", "latent"))
    close(image, vectors("rosinality_rule_io", "img"), atol=1e-4)


def test_truncation_agrees_with_the_other_code_of_the_same_network(full_width, vectors, close):
    full_width.mapping.w_avg.copy_(vectors("rosinality_rule_io", "w_mean")[0])
    ws = full_width.mapping(vectors("rosinality_rule_io", "z"), psi=0.6)
    close(full_width.synthesis(ws), vectors("rosinality_rule_io", "img_z_trunc0_6"), atol=1e-4)


@pytest.mark.slow
def test_full_size_image_takes_seconds_on_a_processor():
    generator = Generator(GeneratorConfig(1024)).eval()
    ws = torch.randn(1, 18, 512, generator=torch.Generator().manual_seed(0))
    generator.synthesis(ws)
    start = time.perf_counter()
    assert generator.synthesis(ws).shape == (1, 3, 1024, 1024)
    # 3.2 s on two cores of a shared machine.
    assert time.perf_counter() - start < 20
