"""The text half of CLIP: picked out of a checkpoint, checked, and run by open_clip's own class.

A checkpoint is a mapping of names to tensors; a file is only ever read by the pack room. Nothing here asks
the network: weights come from the pack, the tokenizer's vocabulary from open_clip's own package.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from stit_vfx.errors import JobFieldError, PackFormatError, PackSourceError
from stit_vfx.packs.schema import TextNet
from stit_vfx.packs.weights import fill, stored_shapes
from stit_vfx.text.library import open_clip

# CLIP's byte-pair vocabulary, which open_clip brings along; no other tokenizer is there.
VOCABULARY = 49408
HEAD_WIDTH = 64
MAX_LAYERS = 64
# Prompts that go through the network at once; 40 x 77 x 512 floats are 6 MB a layer.
BATCH = 40
PREFIXES = ("", "text.", "module.", "module.text.")

Shape = tuple[int, ...]


class Stored(Protocol):
    """A tensor that may still be in its file."""

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def shape(self) -> Sequence[int]: ...


@dataclass(frozen=True)
class TextSizes:
    """The sizes of a text network, read off its tensors. `dimensions`: of the embedding."""

    layers: int
    width: int
    context: int
    vocabulary: int
    dimensions: int

    @property
    def heads(self) -> int:
        """CLIP's heads are 64 wide, always; no tensor says so."""
        return self.width // HEAD_WIDTH

    @classmethod
    def of(cls, shapes: Mapping[str, Shape]) -> TextSizes:
        """From the text half's own names. Raises PackSourceError for what cannot be a CLIP's."""
        vocabulary, width = _two("token_embedding.weight", shapes)
        context, _ = _two("positional_embedding", shapes)
        _, dimensions = _two("text_projection", shapes)
        numbers = {int(found[1]) for name in shapes if (found := re.match(BLOCK, name))}
        layers = max(numbers, default=-1) + 1
        if not 1 <= layers <= MAX_LAYERS:
            raise PackSourceError(f"has {layers} layers (transformer.resblocks) where 1 to 64 are expected")
        if width % HEAD_WIDTH:
            raise PackSourceError(f"token_embedding.weight: a width of {width} is no multiple of 64")
        if vocabulary != VOCABULARY:
            raise PackSourceError(
                f"token_embedding.weight has {vocabulary} words, and CLIP's vocabulary {VOCABULARY}",
                hint="Only networks that read CLIP's own tokens are supported",
            )
        return cls(layers, width, context, vocabulary, dimensions)

    def shapes(self) -> dict[str, Shape]:
        """Every tensor of such a network, and its shape."""
        width = self.width
        whole: dict[str, Shape] = {
            "token_embedding.weight": (self.vocabulary, width),
            "positional_embedding": (self.context, width),
            "ln_final.weight": (width,),
            "ln_final.bias": (width,),
            "text_projection": (width, self.dimensions),
        }
        for number in range(self.layers):
            block = f"transformer.resblocks.{number}."
            whole |= {block + name: shape for name, shape in _block_shapes(width).items()}
        return whole


BLOCK = r"transformer\.resblocks\.(\d{1,9})\."


def _block_shapes(width: int) -> dict[str, Shape]:
    layers = {
        "attn.in_proj_": (3 * width, width),
        "attn.out_proj.": (width, width),
        "mlp.c_fc.": (4 * width, width),
        "mlp.c_proj.": (width, 4 * width),
    }
    norms = [f"{norm}.{kind}" for norm in ("ln_1", "ln_2") for kind in ("weight", "bias")]
    shapes: dict[str, Shape] = dict.fromkeys(norms, (width,))
    for name, (outputs, inputs) in layers.items():
        shapes |= {f"{name}weight": (outputs, inputs), f"{name}bias": (outputs,)}
    return shapes


def _two(name: str, shapes: Mapping[str, Shape]) -> Shape:
    if name not in shapes:
        raise PackSourceError(f"has no {name}: that is not the text half of a CLIP", hint=WANTED)
    if len(shapes[name]) != 2 or not all(shapes[name]):
        raise PackSourceError(f"{name} has the shape {shapes[name]} where two sizes are expected")
    return shapes[name]


WANTED = "CLIP's ViT-B-32.pt is the one that StyleCLIP's fs3.npy was measured with"


def text_state(tensors: Mapping[str, Any]) -> dict[str, Tensor]:
    """The text half of a CLIP, under OpenAI's names, as stored (half precision stays half).

    tensors  names to tensors, or to objects with `dtype`, `shape` and `read()`: OpenAI's state dict or
             TorchScript archive, open_clip's checkpoints (`text.`), any of them below `module.`
    Raises PackSourceError naming what is missing, does not fit, or would change what is computed.
    """
    prefix = _prefix(tensors)
    named = {name.removeprefix(prefix): each for name, each in tensors.items() if name.startswith(prefix)}
    mine = {name: each for name, each in named.items() if _of_text(name)}
    wanted = TextSizes.of({name: tuple(each.shape) for name, each in mine.items()}).shapes()
    _check_names(set(mine), set(wanted))
    for name, shape in wanted.items():
        _check_tensor(name, mine[name], shape)
    return {name: _read(mine[name]) for name in wanted}


def _prefix(tensors: Mapping[str, Any]) -> str:
    found = [prefix for prefix in PREFIXES if f"{prefix}token_embedding.weight" in tensors]
    if not found:
        problem = "has no token_embedding.weight: that is not a CLIP with a text half"
        raise PackSourceError(problem, hint=WANTED)
    return found[0]


def _of_text(name: str) -> bool:
    """Whether a name is the text half's; the causal mask is, but it is made anew."""
    ours = (
        "token_embedding.",
        "positional_embedding",
        "transformer.",
        "ln_final.",
        "text_projection",
        "cls_",
    )
    return name.startswith(ours) and not name.endswith("attn_mask")


def _check_names(there: set[str], wanted: set[str]) -> None:
    if missing := sorted(wanted - there):
        raise PackSourceError(f"has no {_some(missing)}", hint="The file is not whole; fetch it again")
    if unknown := sorted(there - wanted):
        raise PackSourceError(f"has {_some(unknown)}, which CLIP's text network does not", hint=WANTED)


def _some(names: list[str]) -> str:
    more = f" (and {len(names) - 3} more)" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _check_tensor(name: str, stored: Stored, shape: Shape) -> None:
    if tuple(stored.shape) != shape:
        raise PackSourceError(f"{name} has the shape {tuple(stored.shape)} where {shape} is expected")
    if not stored.dtype.is_floating_point:
        raise PackSourceError(f"{name} holds {stored.dtype}, not floating-point numbers")


def _read(stored: Any) -> Tensor:
    tensor = stored if isinstance(stored, Tensor) else stored.read()
    return tensor.detach().cpu().contiguous()


class TextNetwork:
    """CLIP's text half, ready to embed. `dimensions` is the length of an embedding."""

    def __init__(self, tower: Any, *, context: int, dimensions: int) -> None:
        self._tower, self._context, self.dimensions = tower, context, dimensions
        self._mask: Tensor = tower.attn_mask
        self._tokenise = open_clip().SimpleTokenizer(context_length=context)

    @torch.no_grad()
    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """(N, dimensions) float32, not normalised, as CLIP's `encode_text` gives them.

        Raises JobFieldError for a text with more tokens than the network reads; CLIP itself would cut it.
        """
        tokens = self._tokenise(self._checked(texts))
        parts = [self._embed(part) for part in tokens.split(BATCH)]
        return torch.cat(parts).cpu().float().numpy()

    def _checked(self, texts: Sequence[str]) -> list[str]:
        for text in texts:
            # A token before and one after.
            if (count := len(self._tokenise.encode(text)) + 2) > self._context:
                raise JobFieldError(
                    f"the text {text!r} takes {count} tokens, and the network reads {self._context}",
                    hint="Use fewer words",
                )
        return list(texts)

    def _embed(self, tokens: Tensor) -> Tensor:
        """Only as far as the longest text goes: what comes after its end changes nothing before it."""
        # The token that ends a text has the highest number of all.
        longest = int(tokens.argmax(1).max()) + 1
        self._tower.attn_mask = self._mask[:longest, :longest]
        return self._tower(tokens[:, :longest].to(self._mask.device))


def load_text_net(
    spec: TextNet, folder: Path, *, device: str | torch.device = "cpu", sha256: str | None = None
) -> TextNetwork:
    """The pack's text network, in single precision: 250 MB for CLIP ViT-B/32, so let go of it early.

    sha256  what the file's bytes must sum to
    Raises PackFormatError, and MissingPartError where open_clip is not installed.
    """
    path = folder / spec.file
    try:
        sizes = TextSizes.of(stored_shapes(path))
    except PackSourceError as error:
        raise PackFormatError(error.problem, where=path, hint=error.hint) from None
    if sizes.layers != spec.layers or sizes.width % spec.heads:
        raise PackFormatError(
            f"has {sizes.layers} layers of width {sizes.width}; pack.json says {spec.layers} layers and "
            f"{spec.heads} heads",
            where=path,
        )
    tower = fill(_tower(spec, sizes), path, device=device, sha256=sha256)
    return TextNetwork(tower, context=sizes.context, dimensions=sizes.dimensions)


def _tower(spec: TextNet, sizes: TextSizes) -> Any:
    from importlib import import_module

    package = open_clip()
    parts = import_module(f"{package.__name__}.transformer")
    with torch.device("meta"):
        tower = parts.TextTransformer(
            context_length=sizes.context,
            vocab_size=sizes.vocabulary,
            width=sizes.width,
            heads=spec.heads,
            layers=sizes.layers,
            output_dim=sizes.dimensions,
            act_layer=parts.QuickGELU if spec.quick_gelu else nn.GELU,
        )
    # It is no weight, so nothing would fill it.
    tower.attn_mask = tower.build_causal_mask()
    return tower
