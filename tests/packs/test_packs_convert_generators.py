"""StyleGAN2 from every public format: the same pictures, and nothing else passes for one."""

from __future__ import annotations

import json
import pickle
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import public_files as files
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from stit_vfx.errors import PackDamagedError, PackSourceError
from stit_vfx.gan.stylegan2 import Generator, GeneratorConfig
from stit_vfx.packs.convert import convert
from stit_vfx.packs.load import load_pack

VECTORS = files.vector_folder()
SMALL = {"z_dim": 16, "w_dim": 16, "mapping_layers": 2, "channel_base": 256, "channel_max": 16}
# tests/data's generator at 64 px.
TINY = {"mapping_lr": 0.01, "num_fp16_res": 2, "conv_clamp": 256.0}


def numbers(file: str, key: str) -> Tensor:
    return torch.from_numpy(np.load(VECTORS / f"{file}.npz")[key])


@pytest.fixture
def make(tmp_path: Path) -> Any:
    """Convert, and give the pack's folder."""

    def convert_here(*sources: Path, name: str = "pack", **words: Any) -> Path:
        return convert(sources, name=name, out=tmp_path / "out", accept=True, **words)

    return convert_here


def stored(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "generator.safetensors")


def section(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "pack.json").read_text())["generator"]


@pytest.fixture(scope="module")
def tiny() -> dict[str, Tensor]:
    return load_file(VECTORS / "sg2ada_tiny.safetensors")


@pytest.fixture(scope="module")
def small() -> dict[str, Tensor]:
    return files.generator_state(16, **SMALL)


def same_tensors(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert set(ours) == set(theirs)
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=0, atol=0, msg=name)


@torch.no_grad()
@pytest.mark.parametrize("file", ["nv_tiny_p3.pkl", "tuned_tiny.pt"])
def test_published_files_give_the_reference_tensors_and_pictures(make: Any, tiny: Any, file: str) -> None:
    folder = make(VECTORS / file)
    same_tensors(stored(folder), tiny)
    said = section(folder)
    assert {key: said[key] for key in TINY} == TINY
    assert (said["resolution"], said["num_ws"], said["channel_base"], said["channel_max"]) == (
        64,
        10,
        1024,
        48,
    )
    pack = load_pack(folder)
    for noise in ("const", "none"):
        image = pack.generator.synthesize(numbers("sg2ada_io", "wplus"), noise=noise)
        torch.testing.assert_close(image, numbers("sg2ada_io", f"img_{noise}_fp32"), rtol=0, atol=1e-4)
    ws = pack.generator.map(numbers("sg2ada_io", "z"), truncation=0.7)
    torch.testing.assert_close(ws, numbers("sg2ada_io", "w_psi0.7"), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_a_rosinality_file_gives_the_reference_pictures(make: Any) -> None:
    folder = make(VECTORS / "rosinality_tiny.pt")
    assert section(folder)["channels"] == [16, 16, 16, 12, 8]
    network = load_pack(folder).model.network
    ws = network.mapping(numbers("rosinality_tiny_io", "z"))
    torch.testing.assert_close(ws[:, 0], numbers("rosinality_tiny_io", "w"), rtol=1e-5, atol=1e-5)
    image = network.synthesis(ws)
    torch.testing.assert_close(image, numbers("rosinality_tiny_io", "img"), rtol=0, atol=1e-4)
    average = numbers("rosinality_tiny_io", "latent_avg")
    torch.testing.assert_close(network.mapping.w_avg, average, rtol=0, atol=0)


def rule_state(seed: int) -> dict[str, Tensor]:
    """The full-width generator of 64 px, which is given by a rule."""
    with torch.device("meta"):
        names = Generator(GeneratorConfig(64)).state_dict()
    state = files.rosinality_state(names)
    line = torch.tensor([1.0, 3.0, 3.0, 1.0])
    for name, tensor in state.items():
        if name.endswith(".kernel"):
            state[name] = torch.outer(line, line) / 16
            continue
        rs = np.random.RandomState((zlib.crc32(f"ros/{name}".encode()) + seed) & 0xFFFFFFFF)
        normal = np.asarray(rs.standard_normal(tensor.shape))
        if name.startswith("style."):
            normal = normal / 0.01 if name.endswith("weight") else 0.1 * normal / 0.01
        elif name.endswith("modulation.bias"):
            normal = 1 + 0.2 * normal
        elif name.endswith("noise.weight"):
            normal = 0.15 * normal
        elif name.endswith("bias"):
            normal = 0.2 * normal
        state[name] = torch.from_numpy(normal).float()
    return state


@torch.no_grad()
def test_a_full_width_rosinality_generator_gives_the_reference_pictures(make: Any, tmp_path: Path) -> None:
    seed = json.loads((VECTORS / "meta.json").read_text())["versions"]["seed"]
    torch.save(rule_state(seed), tmp_path / "bare.pt")
    network = load_pack(make(tmp_path / "bare.pt")).model.network
    ws = network.mapping(numbers("rosinality_rule_io", "z"))
    torch.testing.assert_close(ws[:, 0], numbers("rosinality_rule_io", "w"), rtol=1e-4, atol=1e-5)
    image = network.synthesis(numbers("rosinality_rule_io", "latent"))
    torch.testing.assert_close(image, numbers("rosinality_rule_io", "img"), rtol=0, atol=1e-4)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_snapshots_of_every_pickle_protocol_are_read(
    make: Any, small: Any, tmp_path: Path, protocol: int
) -> None:
    path = files.nvidia_pickle(tmp_path / "g.pkl", G_ema=files.persistent(small), protocol=protocol)
    same_tensors(stored(make(path)), small)


@pytest.mark.parametrize("nested", [True, False])
def test_a_tensorflow_snapshot_gives_the_same_tensors(
    make: Any, tiny: Any, tmp_path: Path, nested: bool
) -> None:
    path = files.tensorflow_pickle(tmp_path / "tf.pkl", tiny, nested=nested, mapping_lrmul=0.01)
    ours = stored(make(path))
    assert set(ours) == set(tiny)
    for name, tensor in tiny.items():
        # One was taken off the biases of styles and put on again.
        torch.testing.assert_close(ours[name], tensor, rtol=0, atol=2e-7, msg=name)


def test_rosinality_names_are_the_inverse_of_ours(make: Any, small: Any, tmp_path: Path) -> None:
    saved = {"g_ema": files.rosinality_state(small), "latent_avg": small["mapping.w_avg"]}
    torch.save(saved, tmp_path / "g.pt")
    same_tensors(stored(make(tmp_path / "g.pt")), small)


def test_the_average_over_training_is_preferred(make: Any, small: Any, tmp_path: Path) -> None:
    other = {name: tensor + 1 for name, tensor in small.items()}
    path = files.nvidia_pickle(
        tmp_path / "g.pkl", G=files.persistent(other), D=None, G_ema=files.persistent(small)
    )
    same_tensors(stored(make(path)), small)
    path = files.nvidia_pickle(tmp_path / "only_g.pkl", G=files.persistent(other), D=None, G_ema=None)
    folder = make(path, name="other")
    same_tensors(stored(folder), other)
    assert "no G_ema" in (folder / "pack.json").read_text()
    path = files.rosinality_training(
        tmp_path / "training.pt", small, {"final_linear.0.weight": torch.ones(2, 2)}
    )
    same_tensors(stored(make(path, name="third")), small)


def test_a_finetuned_file_without_an_average_gets_one(make: Any, small: Any, tmp_path: Path) -> None:
    state = {f"module.{name}": tensor for name, tensor in files.rosinality_state(small).items()}
    torch.save({"state_dict": state, "g_optim": files.optimiser(small)}, tmp_path / "nada.pt")
    folder = make(tmp_path / "nada.pt")
    assert "16384 random z" in (folder / "pack.json").read_text()
    ours = stored(folder)["mapping.w_avg"]
    network = load_pack(folder).model.network
    with torch.no_grad():
        z = torch.randn(4096, 16, generator=torch.Generator().manual_seed(5))
        ws = network.mapping(z)[:, 0]
    torch.testing.assert_close(ours, ws.mean(0), rtol=0, atol=5 * float(ws.std()) / 64)
    same = convert([tmp_path / "nada.pt"], name="again", out=tmp_path, accept=True)
    assert (same / "generator.safetensors").read_bytes() == (folder / "generator.safetensors").read_bytes()


def test_half_precision_is_kept_as_stored_and_runs(make: Any, small: Any, tmp_path: Path) -> None:
    half = {name: tensor.half() for name, tensor in files.rosinality_state(small).items()}
    torch.save({"g_ema": half, "latent_avg": small["mapping.w_avg"].half()}, tmp_path / "half.pt")
    folder = make(tmp_path / "half.pt")
    assert stored(folder)["synthesis.b8.conv0.weight"].dtype == torch.float16
    network = load_pack(folder).model.network
    assert network.synthesis.b8.conv0.weight.dtype == torch.float32
    with torch.no_grad():
        assert bool(network.synthesis(network.mapping(torch.ones(1, 16))).isfinite().all())


def test_what_the_layers_say_is_what_counts(make: Any, small: Any, tmp_path: Path) -> None:
    network = files.persistent(small, conv_clamp=7, half=(16,), lr=0.02)
    said = section(make(files.nvidia_pickle(tmp_path / "g.pkl", G_ema=network)))
    assert (said["conv_clamp"], said["num_fp16_res"], said["mapping_lr"]) == (7.0, 1, 0.02)


def test_a_generator_without_noise_has_none(make: Any, small: Any, tmp_path: Path) -> None:
    silent = {name: tensor for name, tensor in small.items() if ".noise_" not in name}
    folder = make(files.nvidia_pickle(tmp_path / "g.pkl", G_ema=files.persistent(silent)))
    ours = stored(folder)
    assert set(ours) == set(small)
    assert not any(ours[name].any() for name in ours if ".noise_" in name)


@pytest.mark.parametrize(
    ("lost", "told"),
    [
        ("synthesis.b16.conv1.weight", "convs.3.conv.weight"),
        ("mapping.fc1.bias", "style.2.bias"),
        ("synthesis.b4.const", "input.input"),
        ("synthesis.b8.torgb.bias", "to_rgbs.0.bias"),
        ("synthesis.b16.conv0.noise_const", "noises.noise_3"),
    ],
)
def test_a_missing_tensor_is_named_as_the_file_names_it(
    make: Any, small: Any, tmp_path: Path, lost: str, told: str
) -> None:
    without = {name: tensor for name, tensor in small.items() if name != lost}
    torch.save({"g_ema": files.rosinality_state(without)}, tmp_path / "g.pt")
    with pytest.raises(PackSourceError, match=f"has no {told},? which"):
        make(tmp_path / "g.pt")
    path = files.nvidia_pickle(tmp_path / "g.pkl", G_ema=files.persistent(without))
    with pytest.raises(PackSourceError, match=f"has no {lost}"):
        make(path)


def test_several_missing_tensors_are_counted(make: Any, small: Any, tmp_path: Path) -> None:
    few = {name: tensor for name, tensor in small.items() if ".affine." not in name}
    path = files.nvidia_pickle(tmp_path / "g.pkl", G_ema=files.persistent(few))
    with pytest.raises(PackSourceError, match=r"b4\.conv1\.affine\.weight \(and 15 more\)"):
        make(path)


def test_a_wrong_shape_is_named_with_both_sizes(make: Any, small: Any, tmp_path: Path) -> None:
    state = files.rosinality_state(small)
    state["convs.1.conv.weight"] = state["convs.1.conv.weight"][..., :1]
    torch.save({"g_ema": state}, tmp_path / "g.pt")
    with pytest.raises(PackSourceError, match=r"convs\.1\.conv\.weight is 16x16x3x1 where 16x16x3x3"):
        make(tmp_path / "g.pt")


def test_a_tensor_that_is_not_finite_is_named(make: Any, small: Any, tmp_path: Path) -> None:
    state = {**small, "synthesis.b8.conv1.bias": torch.full((16,), float("nan"))}
    path = files.nvidia_pickle(tmp_path / "g.pkl", G_ema=files.persistent(state))
    with pytest.raises(PackSourceError, match=r"synthesis\.b8\.conv1\.bias has numbers that are not finite"):
        make(path)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"c_dim": 10}, "told a class"),
        ({"img_channels": 1}, "1 channels"),
        ({"architecture": "resnet"}, "built as 'resnet'"),
        ({"architecture": "orig"}, "built as 'orig'"),
    ],
)
def test_generators_that_compute_something_else_are_refused(
    make: Any, small: Any, tmp_path: Path, settings: dict[str, Any], told: str
) -> None:
    path = files.nvidia_pickle(tmp_path / "g.pkl", G_ema=files.persistent(small, **settings))
    with pytest.raises(PackSourceError, match=told):
        make(path)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"c_dim": "many"}, "c_dim is 'many' where a number is expected"),
        ({"conv_clamp": [256]}, "conv_clamp is a list where a number is expected"),
        ({"conv_clamp": float("nan")}, "conv_clamp is nan where a number is expected"),
        ({"conv_clamp": 0}, "conv_clamp is 0 where more is expected"),
        ({"lr": -1.0}, "lr_multiplier is -1.0 where a number is expected"),
        ({"architecture": 3}, "architecture is 3 where a word is expected"),
    ],
)
def test_settings_that_make_no_sense_are_named(
    make: Any, small: Any, tmp_path: Path, settings: dict[str, Any], told: str
) -> None:
    path = files.nvidia_pickle(tmp_path / "g.pkl", G_ema=files.persistent(small, **settings))
    with pytest.raises(PackSourceError, match=told):
        make(path)


def test_stylegan3_and_a_lone_discriminator_are_refused_by_name(make: Any, tmp_path: Path) -> None:
    inner = files.Persistent("SynthesisInput", {"_parameters": {}, "_buffers": {}, "_modules": {}})
    outer = files.persistent({"mapping.w_avg": torch.zeros(4)})
    outer.state["_modules"]["input"] = inner
    with pytest.raises(PackSourceError, match="StyleGAN3"):
        make(files.nvidia_pickle(tmp_path / "sg3.pkl", G_ema=outer))
    critic = files.persistent({"b4.out.weight": torch.zeros(1, 4)}, "Discriminator")
    with pytest.raises(PackSourceError, match="no generator: D is a discriminator"):
        make(files.nvidia_pickle(tmp_path / "d.pkl", D=critic))


def test_stylegan1_of_tensorflow_days_is_refused_by_name(make: Any, tiny: Any, tmp_path: Path) -> None:
    path = files.tensorflow_pickle(tmp_path / "tf.pkl", {"mapping.w_avg": tiny["mapping.w_avg"]})
    with pytest.raises(PackSourceError, match="0 px"):
        make(path)
    networks = files.Network(variables=[("4x4/Const/StyleMod/weight", np.zeros(4))], static_kwargs={})
    with files.public_names(), (tmp_path / "one.pkl").open("wb") as file:
        pickle.dump((networks, networks, networks), file, protocol=4)
    with pytest.raises(PackSourceError, match="StyleGAN1"):
        make(tmp_path / "one.pkl")


def test_a_changed_byte_of_the_pack_is_refused_at_load(make: Any) -> None:
    folder = make(VECTORS / "nv_tiny_p3.pkl")
    path = folder / "generator.safetensors"
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(PackDamagedError, match="STIT-E202"):
        load_pack(folder)
