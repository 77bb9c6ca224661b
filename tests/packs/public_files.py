"""Model files in their public formats, with random weights or weights by rule. Not a test.

The classes below are written into files by name only: what reads such a file has to stand in for them. Their
names and nesting follow what the published files say of themselves, not any code.
"""

from __future__ import annotations

import os
import pickle
import sys
import types
import zlib
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stit_vfx.gan.stylegan2 import Generator, GeneratorConfig

State = dict[str, Tensor]
# What the published files embed is run by their own loader; ours must never get that far.
SOURCE = "raise SystemExit('embedded source was run')\n"
LAYERS = {"mapping": "MappingNetwork", "synthesis": "SynthesisNetwork", "torgb": "ToRGBLayer"}


# --- names that pickles refer to --------------------------------------------------------------------------


class EasyDict(dict):  # type: ignore[type-arg]
    """Saved by name, as dnnlib.util's."""


class Network:
    """Saved by name, as dnnlib.tflib.network's; its attributes are its state."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


class Persistent:
    """Saved as a call of torch_utils.persistence's constructor with one dict."""

    def __init__(self, name: str, state: dict[str, Any]) -> None:
        self.name, self.state = name, state

    def __reduce__(self) -> tuple[Any, ...]:
        meta = {
            "type": "class",
            "version": 6,
            "module_src": SOURCE,
            "class_name": self.name,
            "state": self.state,
        }
        return _reconstruct_persistent_obj, (meta,)


def _reconstruct_persistent_obj(meta: dict[str, Any]) -> None:
    raise AssertionError("nothing may call this")


@contextmanager
def public_names() -> Iterator[None]:
    """While this lasts, the classes above have the names that public files know them by."""
    homes = {
        EasyDict: "dnnlib.util",
        Network: "dnnlib.tflib.network",
        _reconstruct_persistent_obj: "torch_utils.persistence",
    }
    before = {each: each.__module__ for each in homes}
    made = {}
    for each, home in homes.items():
        parts = home.split(".")
        for n in range(1, len(parts) + 1):
            name = ".".join(parts[:n])
            made.setdefault(name, types.ModuleType(name))
        each.__module__ = home
        setattr(made[home], each.__name__, each)
    sys.modules.update(made)
    try:
        yield
    finally:
        for each, home in before.items():
            each.__module__ = home
        for name in made:
            del sys.modules[name]


# --- reference numbers ------------------------------------------------------------------------------------


STORED = Path(__file__).parent.parent / "data" / "vectors"


def vector_folder() -> Path:
    """The stored reference numbers, or another set of the same layout named by $STIT_VECTORS."""
    named = os.environ.get("STIT_VECTORS")
    if not named:
        return STORED
    return Path(named) / "open" if (Path(named) / "open").is_dir() else Path(named)


# --- weights ----------------------------------------------------------------------------------------------


def by_rule(shapes: Mapping[str, Any], prefix: str, seed: int) -> State:
    """Tensors filled from a checksum of their names, as the reference numbers were made."""
    return {name: _by_rule(prefix + name, tuple(shape), seed) for name, shape in shapes.items()}


def _by_rule(key: str, shape: tuple[int, ...], seed: int) -> Tensor:
    rs = np.random.RandomState((zlib.crc32(key.encode()) + seed) & 0xFFFFFFFF)
    leaf = key.rsplit(".", 1)[-1]
    if leaf == "num_batches_tracked":
        return torch.zeros(shape, dtype=torch.int64)
    if leaf == "running_var":
        return torch.tensor(0.5 + rs.random_sample(shape)).float()
    normal = np.asarray(rs.standard_normal(shape))
    if leaf in ("running_mean", "bias"):
        normal = 0.1 * normal
    elif leaf == "weight" and len(shape) == 1:
        prelu = key.endswith(("input_layer.2.weight", "res_layer.2.weight"))
        normal = 0.25 + 0.05 * normal if prelu else 1 + 0.1 * normal
    elif leaf == "weight" and not key.endswith(".linear.weight"):
        normal = normal / np.sqrt(np.prod(shape[1:]))
    return torch.from_numpy(normal).float()


def random_state(shapes: Mapping[str, Any], seed: int = 0) -> State:
    """Small random tensors of these shapes; counters are zero."""
    random = torch.Generator().manual_seed(seed)
    return {
        name: torch.zeros((), dtype=torch.int64)
        if name.endswith("num_batches_tracked")
        else torch.randn(tuple(shape), generator=random) * 0.05
        for name, shape in shapes.items()
    }


def generator_state(resolution: int = 64, *, seed: int = 0, **sizes: Any) -> State:
    """A random generator under NVIDIA's names."""
    torch.manual_seed(seed)
    state = Generator(GeneratorConfig(resolution, **sizes)).state_dict()
    state["mapping.w_avg"] = torch.randn_like(state["mapping.w_avg"]) * 0.1
    for name in state:
        if name.endswith("noise_strength"):
            state[name] = torch.tensor(0.1)
    return state


def discriminator_state(channels: Mapping[int, int], seed: int = 1) -> State:
    """About as many numbers as a discriminator of these channels by resolution has."""
    torch.manual_seed(seed)
    state = {}
    for resolution, width in channels.items():
        if resolution == 4:
            continue
        wider = channels[resolution // 2]
        state[f"b{resolution}.conv0.weight"] = torch.randn(width, width, 3, 3)
        state[f"b{resolution}.conv1.weight"] = torch.randn(wider, width, 3, 3)
        state[f"b{resolution}.skip.weight"] = torch.randn(wider, width, 1, 1)
    state["b4.fc.weight"] = torch.randn(channels[4], channels[4] * 16)
    return state


# --- NVIDIA -----------------------------------------------------------------------------------------------


def persistent(
    state: Mapping[str, Tensor], class_name: str = "Generator", *, kwargs: Any = None, **settings: Any
) -> Persistent:
    """A network as a tree of persistent objects; `settings` are laid over what it says of itself."""
    top = dict(_attributes(class_name, ""), **settings)
    top |= {"_init_args": (), "_init_kwargs": EasyDict(kwargs or {})}
    return _module(state, class_name, "", top, settings)


def _module(
    state: Mapping[str, Tensor], name: str, path: str, own: dict[str, Any], settings: Mapping[str, Any]
) -> Persistent:
    children: dict[str, dict[str, Tensor]] = {}
    parameters, buffers = OrderedDict(), OrderedDict()
    for key, tensor in state.items():
        head, dot, rest = key.partition(".")
        if dot:
            children.setdefault(head, {})[rest] = tensor
        elif head in ("noise_const", "resample_filter", "w_avg"):
            buffers[head] = tensor
        else:
            parameters[head] = nn.Parameter(tensor)
    modules = OrderedDict()
    for head, inner in children.items():
        kind, where = _class_of(head, name), f"{path}{head}"
        modules[head] = _module(inner, kind, f"{where}.", _attributes(kind, where, settings), settings)
    hooks = {f"_{kind}_hooks": OrderedDict() for kind in ("backward", "forward", "forward_pre")}
    lists = {"_parameters": parameters, "_buffers": buffers, "_modules": modules}
    return Persistent(
        name, {"training": False, **lists, "_non_persistent_buffers_set": set(), **hooks, **own}
    )


def _class_of(name: str, parent: str) -> str:
    if parent == "Discriminator":
        return "DiscriminatorBlock"
    if name in LAYERS:
        return LAYERS[name]
    if name.startswith("conv"):
        return "SynthesisLayer"
    return "SynthesisBlock" if name[0] == "b" and name[1:].isdigit() else "FullyConnectedLayer"


def _attributes(kind: str, where: str, settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What such objects say of themselves, beside their tensors."""
    said = dict(settings or {})
    clamp = said.get("conv_clamp")
    if kind == "Generator":
        return {"z_dim": 0, "c_dim": 0, "img_channels": 3}
    if kind == "SynthesisBlock":
        half = int(where.rpartition(".b")[2]) in said.get("half", ())
        return {"architecture": said.get("architecture", "skip"), "use_fp16": half, "channels_last": False}
    if kind == "SynthesisLayer":
        gain = np.float64(np.sqrt(2))
        return {"activation": "lrelu", "conv_clamp": clamp, "act_gain": gain, "padding": 1}
    if kind == "ToRGBLayer":
        return {"conv_clamp": clamp, "weight_gain": np.float64(0.1)}
    if kind == "FullyConnectedLayer":
        mapping = where.startswith("mapping")
        activation = "lrelu" if mapping else "linear"
        return {"activation": activation, "bias_gain": said.get("lr", 0.01) if mapping else 1.0}
    return {}


def nvidia_pickle(path: Path, *, protocol: int = 3, **networks: Persistent | None) -> Path:
    """A training snapshot: networks by name, G, D and G_ema."""
    snapshot = {"training_set_kwargs": EasyDict(path="x.zip", use_labels=False), **networks}
    with public_names(), path.open("wb") as file:
        pickle.dump({**snapshot, "augment_pipe": None}, file, protocol=protocol)
    return path


def tuned_file(path: Path, state: Mapping[str, Tensor], pivots: Tensor, quads: Any) -> Path:
    """A checkpoint of the published STIT."""
    with public_names():
        torch.save({"generator": persistent(state), "pivots": pivots, "quads": quads}, path)
    return path


def tensorflow_pickle(path: Path, state: Mapping[str, Tensor], *, nested: bool = True, **static: Any) -> Path:
    """(G, D, Gs) of the TensorFlow days, from NVIDIA's later names by the inverse of every change.

    nested  components as networks of their own; else all variables in one list with prefixes
    """
    mapping, synthesis, own = _tensorflow_variables(state)
    common = {"version": 4, "static_kwargs": EasyDict(static), "build_module_src": SOURCE}
    if nested:
        parts = {"mapping": mapping, "synthesis": synthesis}
        components = EasyDict(
            {
                name: Network(name=name, variables=each, components=EasyDict(), **common)
                for name, each in parts.items()
            }
        )
        gs = Network(name="Gs", variables=own, components=components, **common)
    else:
        listed = [*own, *((f"G_mapping/{k}", v) for k, v in mapping)]
        listed += [(f"G_synthesis/{k}", v) for k, v in synthesis]
        gs = Network(name="Gs", variables=listed, components=EasyDict(), **common)
    empty = Network(name="D", variables=[], components=EasyDict(), **common)
    with public_names(), path.open("wb") as file:
        pickle.dump((empty, empty, gs), file, protocol=4)
    return path


Named = list[tuple[str, np.ndarray]]


def _tensorflow_variables(state: Mapping[str, Tensor]) -> tuple[Named, Named, Named]:
    own: Named = [("lod", np.float32(0).reshape(())), ("dlatent_avg", state["mapping.w_avg"].numpy())]
    mapping: Named = []
    synthesis: Named = []
    for name, tensor in state.items():
        array, parts = tensor.numpy(), name.split(".")
        if parts[0] == "mapping" and parts[1] != "w_avg":
            number = parts[1].removeprefix("fc")
            mapping.append((f"Dense{number}/{parts[2]}", array.T.copy()))
        elif parts[0] == "synthesis" and parts[-1] != "resample_filter":
            synthesis.append(_tensorflow_variable(parts[1:], array))
    return mapping, synthesis, own


def _tensorflow_variable(parts: list[str], array: np.ndarray) -> tuple[str, np.ndarray]:
    resolution = int(parts[0][1:])
    block = f"{resolution}x{resolution}"
    if parts[1] == "const":
        return f"{block}/Const/const", array[None]
    layer = "Conv" if resolution == 4 else "Conv0_up" if parts[1] == "conv0" else "Conv1"
    layer = "ToRGB" if parts[1] == "torgb" else layer
    if parts[2] == "affine":
        changed = array.T.copy() if parts[3] == "weight" else array - 1
        return f"{block}/{layer}/mod_{parts[3]}", changed
    if parts[2] == "noise_const":
        level = resolution.bit_length() - 1
        number = 0 if resolution == 4 else 2 * level - (5 if parts[1] == "conv0" else 4)
        return f"noise{number}", array[None, None]
    if parts[2] == "weight":
        kernel = array.transpose(2, 3, 1, 0)
        return f"{block}/{layer}/weight", (kernel[::-1, ::-1] if layer == "Conv0_up" else kernel).copy()
    return f"{block}/{layer}/{parts[2]}", array


# --- rosinality, e4e --------------------------------------------------------------------------------------


def rosinality_state(state: Mapping[str, Tensor]) -> State:
    """NVIDIA's tensors under rosinality's names."""
    found: State = {}
    for name, tensor in state.items():
        parts = name.split(".")
        if parts[0] == "mapping":
            if parts[1] != "w_avg":
                found[f"style.{int(parts[1][2:]) + 1}.{parts[2]}"] = tensor
        elif parts[2] == "const":
            found["input.input"] = tensor[None]
        else:
            found |= _rosinality(int(parts[1][1:]).bit_length() - 4, parts[2:], tensor)
    return found


def _rosinality(j: int, parts: list[str], tensor: Tensor) -> State:
    """One tensor; `j` is the block's number from 8 px on."""
    if parts[0] == "resample_filter":
        return {} if j < 0 else {f"to_rgbs.{j}.upsample.kernel": tensor * 4}
    kind, leaf = parts[0], parts[-1]
    layer = {"torgb": "to_rgb1", "conv1": "conv1"}.get(kind) if j < 0 else None
    layer = layer or {"torgb": f"to_rgbs.{j}", "conv0": f"convs.{2 * j}", "conv1": f"convs.{2 * j + 1}"}[kind]
    number = 0 if j < 0 else 2 * j + (1 if kind == "conv0" else 2)
    if parts[1] == "affine":
        return {f"{layer}.conv.modulation.{leaf}": tensor}
    if leaf == "weight":
        return {f"{layer}.conv.weight": tensor[None]}
    if leaf == "bias" and kind == "torgb":
        return {f"{layer}.bias": tensor.reshape(1, 3, 1, 1)}
    if leaf == "resample_filter":
        return {f"{layer}.conv.blur.kernel": tensor * 4} if kind == "conv0" else {}
    names = {"bias": f"{layer}.activate.bias", "noise_strength": f"{layer}.noise.weight"}
    if leaf == "noise_const":
        return {f"noises.noise_{number}": tensor[None, None]}
    return {names[leaf]: tensor.reshape(1) if leaf == "noise_strength" else tensor}


def optimiser(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """What Adam keeps: two more numbers for each."""
    kept = {n: {"step": 1, "exp_avg": t * 0.1, "exp_avg_sq": t * t} for n, t in enumerate(state.values())}
    return {"state": kept, "param_groups": [{"lr": 0.002, "params": list(kept)}]}


def rosinality_training(path: Path, state: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> Path:
    """A checkpoint out of training: both networks, the average, both optimisers, the words of the run."""
    ours = rosinality_state(state)
    saved = {
        "g": {name: tensor + 1 for name, tensor in ours.items()},
        "d": dict(other),
        "g_ema": ours,
        "g_optim": optimiser(ours),
        "d_optim": optimiser(other),
        "args": Namespace(size=1024, latent=512, n_mlp=8),
        "ada_aug_p": 0.0,
        "latent_avg": state["mapping.w_avg"],
    }
    torch.save(saved, path)
    return path


def encoder_file(
    path: Path,
    encoder: Mapping[str, Tensor],
    average: Tensor | None,
    *,
    decoder: Mapping[str, Tensor] | None = None,
    **opts: Any,
) -> Path:
    """An e4e or pSp checkpoint; `decoder` under rosinality's names."""
    said = {"encoder_type": "Encoder4Editing", "start_from_latent_avg": True, "device": "cuda:0", **opts}
    state = {f"encoder.{name}": tensor for name, tensor in encoder.items()}
    state |= {f"decoder.{name}": tensor for name, tensor in (decoder or {}).items()}
    saved = {"state_dict": OrderedDict(state), "opts": said}
    torch.save(saved if average is None else {**saved, "latent_avg": average}, path)
    return path


# --- the small ones ---------------------------------------------------------------------------------------


def alexnet_state(trunk: Mapping[str, Tensor]) -> State:
    """torchvision's names for the LPIPS trunk, with a classifier that nothing reads."""
    state = {f"features.{name.split('.', 2)[2]}": tensor for name, tensor in trunk.items()}
    return {**state, "classifier.1.weight": torch.zeros(4096, 16), "classifier.1.bias": torch.zeros(4096)}


def clip_state(*, layers: int = 1, width: int = 64, dimensions: int = 16, seed: int = 0) -> State:
    """A CLIP with a very small text half, and a crumb of its image half."""
    random = torch.Generator().manual_seed(seed)
    shapes: dict[str, tuple[int, ...]] = {
        "token_embedding.weight": (49408, width),
        "positional_embedding": (77, width),
        "ln_final.weight": (width,),
        "ln_final.bias": (width,),
        "text_projection": (width, dimensions),
        "visual.conv1.weight": (8, 3, 32, 32),
        "logit_scale": (),
        "input_resolution": (),
    }
    for n in range(layers):
        block = f"transformer.resblocks.{n}."
        for norm in ("ln_1", "ln_2"):
            shapes |= {f"{block}{norm}.weight": (width,), f"{block}{norm}.bias": (width,)}
        shapes |= {
            f"{block}attn.in_proj_weight": (3 * width, width),
            f"{block}attn.in_proj_bias": (3 * width,),
            f"{block}attn.out_proj.weight": (width, width),
            f"{block}attn.out_proj.bias": (width,),
            f"{block}mlp.c_fc.weight": (4 * width, width),
            f"{block}mlp.c_fc.bias": (4 * width,),
            f"{block}mlp.c_proj.weight": (width, 4 * width),
            f"{block}mlp.c_proj.bias": (width,),
        }
    return {name: torch.randn(shape, generator=random).half() for name, shape in shapes.items()}
