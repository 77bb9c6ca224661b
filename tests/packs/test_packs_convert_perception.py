"""Encoders, parser, identity and perceptual networks from their public files, at full tables of names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import public_files as files
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from stit_vfx.errors import PackSourceError
from stit_vfx.gan.e4e import Encoder, EncoderConfig
from stit_vfx.gan.irse import BodyConfig
from stit_vfx.gan.lpips import Lpips
from stit_vfx.packs.convert import convert
from stit_vfx.packs.load import load_pack

VECTORS = files.vector_folder()
BODY = BodyConfig(widths=(8, 16, 24, 32), depths=(1, 2, 2, 1), reduction=4)
SMALL = {"z_dim": 16, "w_dim": 16, "mapping_layers": 2, "channel_base": 256, "channel_max": 16}
SEED: int = json.loads((VECTORS / "meta.json").read_text())["versions"]["seed"]
TABLE: dict[str, dict[str, list[int]]] = json.loads((files.STORED / "keys_fullsize.json").read_text())


def numbers(file: str, key: str) -> Tensor:
    value = torch.from_numpy(np.load(VECTORS / f"{file}.npz")[key])
    return value.float() / 127 if value.dtype == torch.int8 else value


@pytest.fixture
def make(tmp_path: Path) -> Any:
    """Convert beside a generator of 32 px, and give the pack's folder."""
    state = files.generator_state(32, **SMALL)
    generator = files.nvidia_pickle(tmp_path / "g.pkl", G_ema=files.persistent(state))

    def convert_here(*sources: Path, name: str = "pack", alone: bool = False) -> Path:
        brought = sources if alone else (generator, *sources)
        return convert(brought, name=name, out=tmp_path / "out", accept=True)

    return convert_here


@pytest.fixture
def encoder() -> dict[str, Tensor]:
    torch.manual_seed(3)
    state = Encoder(EncoderConfig(8, 16, BODY)).state_dict()
    del state["latent_avg"]
    return state


@torch.no_grad()
def test_an_e4e_encoder_computes_what_it_did(make: Any, encoder: Any, tmp_path: Path) -> None:
    average = torch.randn(8, 16)
    folder = make(files.encoder_file(tmp_path / "e4e.pt", encoder, average))
    said = json.loads((folder / "pack.json").read_text())["encoder"]
    assert said == {
        "arch": "e4e",
        "widths": [8, 16, 24, 32],
        "depths": [1, 2, 2, 1],
        "reduction": 4,
        "file": "encoder.safetensors",
    }
    network = Encoder(EncoderConfig(8, 16, BODY)).eval()
    network.load_state_dict({**encoder, "latent_avg": average})
    crop = torch.randn(1, 3, 256, 256)
    ours = load_pack(folder).encoder.encode(crop)
    torch.testing.assert_close(ours, network(crop), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("average", "start", "wanted"),
    [
        (torch.full((16,), 2.0), True, 2.0),
        (torch.full((1, 16), 2.0), True, 2.0),
        (torch.full((8, 16), 2.0), False, 0.0),
        (None, False, 0.0),
    ],
)
def test_rows_start_where_the_file_says(
    make: Any, encoder: Any, tmp_path: Path, average: Tensor | None, start: bool, wanted: float
) -> None:
    path = files.encoder_file(tmp_path / "e.pt", encoder, average, start_from_latent_avg=start)
    stored = load_file(make(path) / "encoder.safetensors")["latent_avg"]
    assert stored.shape == (8, 16)
    assert bool((stored == wanted).all())


def test_an_encoder_that_needs_an_average_and_has_none_is_refused(
    make: Any, encoder: Any, tmp_path: Path
) -> None:
    with pytest.raises(PackSourceError, match="has no latent_avg"):
        make(files.encoder_file(tmp_path / "e.pt", encoder, None))
    with pytest.raises(PackSourceError, match=r"latent_avg is \(5, 16\) where \(8, 16\)"):
        make(files.encoder_file(tmp_path / "e.pt", encoder, torch.zeros(5, 16)))


def test_a_psp_encoder_is_told_from_e4e(make: Any, encoder: Any, tmp_path: Path) -> None:
    kind = {"encoder_type": "GradualStyleEncoder"}
    folder = make(files.encoder_file(tmp_path / "psp.pt", encoder, torch.zeros(16), **kind))
    assert json.loads((folder / "pack.json").read_text())["encoder"]["arch"] == "psp"
    kind = {"encoder_type": "BackboneEncoderUsingLastLayerIntoW"}
    with pytest.raises(PackSourceError, match="an encoder of the kind BackboneEncoder"):
        make(files.encoder_file(tmp_path / "w.pt", encoder, torch.zeros(16), **kind))


def test_options_saved_as_a_namespace_are_read(make: Any, encoder: Any, tmp_path: Path) -> None:
    from argparse import Namespace

    state = {f"encoder.{name}": tensor for name, tensor in encoder.items()}
    opts = Namespace(encoder_type="GradualStyleEncoder", start_from_latent_avg=False)
    torch.save({"state_dict": state, "opts": opts, "latent_avg": torch.ones(16)}, tmp_path / "ns.pt")
    folder = make(tmp_path / "ns.pt")
    assert json.loads((folder / "pack.json").read_text())["encoder"]["arch"] == "psp"
    assert not load_file(folder / "encoder.safetensors")["latent_avg"].any()


def test_an_encoders_own_generator_serves_where_no_other_is_given(
    make: Any, encoder: Any, tmp_path: Path
) -> None:
    state = files.generator_state(32, seed=4, **SMALL)
    average = state["mapping.w_avg"].expand(8, 16)
    decoder = files.rosinality_state(state)
    path = files.encoder_file(tmp_path / "e4e.pt", encoder, average, decoder=decoder)
    alone = make(path, alone=True)
    ours = load_file(alone / "generator.safetensors")
    for name, tensor in state.items():
        torch.testing.assert_close(ours[name], tensor, rtol=0, atol=0)
    beside = make(path, name="beside")
    other = load_file(beside / "generator.safetensors")
    assert not torch.equal(other["synthesis.b4.const"], state["synthesis.b4.const"])


def test_an_encoder_of_another_generator_is_refused_with_both_files(
    make: Any, encoder: Any, tmp_path: Path
) -> None:
    torch.manual_seed(3)
    state = Encoder(EncoderConfig(10, 16, BODY)).state_dict()
    del state["latent_avg"]
    path = files.encoder_file(tmp_path / "e64.pt", state, torch.zeros(16))
    told = r"e64\.pt: the encoder makes 10 rows of 16, and the generator of g\.pkl reads 8 rows of 16"
    with pytest.raises(PackSourceError, match=told):
        make(path)


@pytest.mark.parametrize("lost", ["body.3.res_layer.5.fc2.weight", "styles.4.convs.2.bias", "latlayer2.bias"])
def test_a_missing_tensor_of_an_encoder_is_named(make: Any, encoder: Any, tmp_path: Path, lost: str) -> None:
    del encoder[lost]
    with pytest.raises(PackSourceError, match=f"has no encoder.{lost}, which an e4e encoder needs"):
        make(files.encoder_file(tmp_path / "e.pt", encoder, torch.zeros(16)))


@torch.no_grad()
def test_the_parser_gives_the_reference_classes(make: Any, tmp_path: Path) -> None:
    state = files.by_rule(TABLE["bisenet19"], "bisenet.", SEED)
    # As files of older versions of torch are.
    old = {f"module.{k}": v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "79999_iter.pth")
    pack: Any = load_pack(make(tmp_path / "79999_iter.pth"))
    parser = pack.parser.network
    x = parser.prepare(numbers("bisenet_io", "x512"))
    scores = parser(x)
    step = scores.shape[-1] // 16
    wanted = numbers("bisenet_io", "logits_sub")
    torch.testing.assert_close(scores[:, :, ::step, ::step], wanted, rtol=1e-4, atol=1e-4)


def test_a_parser_with_other_classes_is_refused_by_shape(make: Any, tmp_path: Path) -> None:
    state = files.random_state(TABLE["bisenet19"])
    state["conv_out.conv_out.weight"] = torch.zeros(11, 256, 1, 1)
    torch.save(state, tmp_path / "p.pth")
    with pytest.raises(PackSourceError, match=r"conv_out\.conv_out\.weight is 11x256x1x1 where 19x256x1x1"):
        make(tmp_path / "p.pth")
    del state["cp.arm16.conv_atten.weight"]
    torch.save(state, tmp_path / "p.pth")
    with pytest.raises(PackSourceError, match=r"has no cp\.arm16\.conv_atten\.weight, which a BiSeNet"):
        make(tmp_path / "p.pth")


def trunk() -> dict[str, Tensor]:
    shapes = {name: tuple(t.shape) for name, t in Lpips().state_dict().items() if name.startswith("net.")}
    return files.by_rule(shapes, "lpips.", SEED)


def heads() -> dict[str, Tensor]:
    return {f"lin{n}.model.1.weight": numbers("lpips_rule", f"lin{n}") for n in range(5)}


def check_distance(folder: Path) -> None:
    network: Any = load_pack(folder).perceptual
    with torch.no_grad():
        ours = network.distance(numbers("lpips_rule", "a"), numbers("lpips_rule", "b"))
    torch.testing.assert_close(ours, numbers("lpips_rule", "value").flatten(), rtol=1e-5, atol=1e-5)


def test_lpips_from_its_two_public_files_gives_the_reference_distance(make: Any, tmp_path: Path) -> None:
    torch.save(heads(), tmp_path / "alex.pth")
    torch.save(files.alexnet_state(trunk()), tmp_path / "alexnet-owt-7be5be79.pth")
    folder = make(tmp_path / "alexnet-owt-7be5be79.pth", tmp_path / "alex.pth")
    check_distance(folder)
    said = json.loads((folder / "pack.json").read_text())["licences"]["perceptual"]
    assert "BSD-2" in said["licence"]
    assert "ImageNet" in said["licence"]
    assert said["commercial_use"] == "unknown"
    assert said["source"] == "alexnet-owt-7be5be79.pth + alex.pth"


def test_a_whole_lpips_with_its_aliases_gives_the_reference_distance(make: Any, tmp_path: Path) -> None:
    alias = {name.replace("lin", "lins."): tensor for name, tensor in heads().items()}
    scaling = {f"scaling_layer.{name}": torch.zeros(1, 3, 1, 1) for name in ("shift", "scale")}
    torch.save({**trunk(), **heads(), **alias, **scaling}, tmp_path / "lpips.pt")
    check_distance(make(tmp_path / "lpips.pt"))


def test_one_half_of_lpips_asks_for_the_other(make: Any, tmp_path: Path) -> None:
    torch.save(heads(), tmp_path / "alex.pth")
    with pytest.raises(PackSourceError, match=r"alex\.pth: needs AlexNet, alexnet-owt"):
        make(tmp_path / "alex.pth")
    torch.save(files.alexnet_state(trunk()), tmp_path / "alexnet.pth")
    with pytest.raises(PackSourceError, match=r"needs the LPIPS heads, alex\.pth"):
        make(tmp_path / "alexnet.pth")


def test_lpips_on_other_trunks_is_refused_by_name(make: Any, tmp_path: Path) -> None:
    sizes = enumerate((64, 128, 256, 512, 512))
    torch.save({f"lin{n}.model.1.weight": torch.ones(1, c, 1, 1) for n, c in sizes}, tmp_path / "vgg.pth")
    with pytest.raises(PackSourceError, match="heads of 64, 128, 256, 512, 512 channels"):
        make(tmp_path / "vgg.pth")
    vgg = {"features.0.weight": torch.ones(64, 3, 3, 3), "classifier.1.weight": torch.ones(2, 2)}
    torch.save(vgg, tmp_path / "vgg16.pth")
    with pytest.raises(PackSourceError, match="first kernel is 64x3x3x3"):
        make(tmp_path / "vgg16.pth")
    lost = {name: tensor for name, tensor in heads().items() if not name.startswith("lin3")}
    torch.save(lost, tmp_path / "few.pth")
    with pytest.raises(PackSourceError, match=r"has no lin3\.model\.1\.weight"):
        make(tmp_path / "few.pth")


def test_identity_gives_the_reference_embedding(make: Any, tmp_path: Path) -> None:
    torch.save(
        files.by_rule(TABLE["arcface_model_ir_se50"], "arcface.", SEED), tmp_path / "model_ir_se50.pth"
    )
    network: Any = load_pack(make(tmp_path / "model_ir_se50.pth")).identity
    with torch.no_grad():
        ours = network.embed(numbers("arcface_io", "x112"))
    torch.testing.assert_close(ours, numbers("arcface_io", "emb"), rtol=1e-4, atol=1e-5)


def test_an_identity_network_without_squeeze_is_refused(make: Any, tmp_path: Path) -> None:
    shapes = {k: v for k, v in TABLE["arcface_model_ir_se50"].items() if ".res_layer.5." not in k}
    torch.save({name: torch.zeros(shape) for name, shape in shapes.items()}, tmp_path / "ir50.pth")
    with pytest.raises(PackSourceError, match=r"has no body\.0\.res_layer\.5\.fc1\.weight \(and 47 more\)"):
        make(tmp_path / "ir50.pth")


@pytest.mark.slow
@torch.no_grad()
def test_the_published_encoder_at_full_size_gives_the_reference_rows(tmp_path: Path) -> None:
    state = files.by_rule(TABLE["e4e_encoder"], "encoder.", SEED)
    average = numbers("e4e_io", "latent_avg")
    encoder = files.encoder_file(tmp_path / "e4e_ffhq_encode.pt", state, average)
    generator = files.nvidia_pickle(tmp_path / "g.pkl", G_ema=files.persistent(files.generator_state(1024)))
    folder = convert([generator, encoder], name="full", out=tmp_path, accept=True)
    ours = load_pack(folder).encoder.encode(numbers("e4e_io", "x256"))
    torch.testing.assert_close(ours, numbers("e4e_io", "1024/w"), rtol=1e-4, atol=1e-4)
