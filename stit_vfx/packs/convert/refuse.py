"""What a file is that is not read: as good a word as its content allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from stit_vfx.errors import PackSourceError
from stit_vfx.packs.convert.states import State, is_tensor, states
from stit_vfx.packs.reading import ModelFile, Stranger

# Beginnings of tensor names that tell a family of networks, the more particular first.
FAMILIES = (
    ("model.diffusion_model.", "a latent diffusion model (Stable Diffusion)"),
    ("first_stage_model.", "the autoencoder of a latent diffusion model"),
    ("down_blocks.", "a diffusion UNet"),
    ("input_blocks.", "a diffusion UNet"),
    ("double_blocks.", "a diffusion transformer"),
    ("transformer_blocks.", "a diffusion transformer"),
    ("lora_", "a LoRA, an addition to a diffusion model"),
    ("gen_z.", "a BigGAN generator"),
    ("generator.gen_z.", "a BigGAN generator"),
    ("blocks.0.0.conv1.weight_orig", "a BigGAN generator"),
    ("synthesis.input.", "a StyleGAN3 generator"),
    ("backbone.synthesis.", "an EG3D generator"),
    ("synthesis.b8.skip.", "a StyleGAN2 built as 'resnet', not 'skip'"),
    ("mapping.embed.", "a StyleGAN2 that is told a class"),
    ("g_mapping.", "a StyleGAN1 generator"),
    ("g_synthesis.", "a StyleGAN1 generator"),
    ("generator.progression.", "a StyleGAN1 generator"),
    ("progression.", "a StyleGAN1 generator"),
    ("image_encoder.", "a Segment Anything network"),
    ("text_model.", "a CLIP in the names of Hugging Face, of which OpenAI's file is read instead"),
    ("visual.", "the image half of a CLIP, without texts"),
    ("layer4.0.conv1.weight", "a ResNet"),
    ("features.0.weight", "a classifier of the VGG kind"),
    ("final_linear.", "a StyleGAN2 discriminator"),
    ("b4.out.", "a StyleGAN2 discriminator"),
)
FEW = 3
HINT = "stit packs convert reads the files that docs/models.md lists"


def refusal(file: ModelFile) -> PackSourceError:
    """The error for a file that nothing recognised, with what it is, or what is in it."""
    found = states(file)
    for state in found.values():
        if (what := _family(state)) is not None:
            return PackSourceError(f"holds {what}, which is not read", where=file.path, hint=HINT)
    inside = "; ".join(_inside(file, found)) or "nothing with a name"
    return PackSourceError(
        f"is no model that is read here; {_container(file)} with {inside}", where=file.path, hint=HINT
    )


def _family(state: State) -> str | None:
    for beginning, what in FAMILIES:
        if any(name.startswith(beginning) for name in state):
            return what
    return None


def _container(file: ModelFile) -> str:
    names = {
        "pickle": "a pickle",
        "torch-zip": "a PyTorch file",
        "torch-legacy": "an old PyTorch file",
        "torchscript": "a TorchScript archive",
        "safetensors": "a safetensors file",
        "npy": "a NumPy array",
        "npz": "a NumPy archive",
    }
    return names[file.container]


def _inside(file: ModelFile, found: Mapping[str, State]) -> Iterator[str]:
    """The first names, or what the one thing in the file is."""
    for place, state in islice(found.items(), FEW):
        more = f" and {len(state) - FEW} more" if len(state) > FEW else ""
        where = f" in {place}" if place else ""
        yield f"{', '.join(islice(state, FEW))}{more}{where}"
    if not found:
        yield from _of_root(file.root)


def _of_root(root: Any) -> Iterator[str]:
    if is_tensor(root):
        yield f"numbers of shape {tuple(root.shape)}"
    elif isinstance(root, Stranger):
        yield f"an object of the class {root.module}.{root.name}"
    elif isinstance(root, Mapping):
        yield "the keys " + ", ".join(str(key)[:80] for key in islice(root, FEW)) if root else "no keys"
    elif isinstance(root, list | tuple):
        yield f"a list of {len(root)}"
    else:
        yield f"one {type(root).__name__}"
