"""A pack, opened: its model, its other networks and its directions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from stit_vfx.errors import PackFormatError
from stit_vfx.gan.arcface import ArcFace
from stit_vfx.gan.bisenet import BiSeNet
from stit_vfx.gan.e4e import Encoder, EncoderConfig
from stit_vfx.gan.irse import BodyConfig
from stit_vfx.gan.lpips import Lpips
from stit_vfx.gan.stylegan2 import Generator, GeneratorConfig
from stit_vfx.packs.directions import read_transformer
from stit_vfx.packs.model import Direction, FaceModel
from stit_vfx.packs.networks import (
    NoEncoder,
    NoGenerator,
    PackEncoder,
    PackGenerator,
    PackIdentity,
    PackParser,
    PackPerceptual,
)
from stit_vfx.packs.plain import PlainModel
from stit_vfx.packs.registry import check_files, find_pack
from stit_vfx.packs.schema import (
    DirectionSpec,
    IdentityNet,
    PackSpec,
    Parser,
    PerceptualNet,
    PlainEncoder,
    PlainGenerator,
    read_spec,
)
from stit_vfx.packs.weights import Lazy, fill, read_tensors

if TYPE_CHECKING:
    from stit_vfx.text.clip import TextNetwork
    from stit_vfx.text.direction import Basis


@dataclass(frozen=True)
class Pack:
    """A pack ready to use. `sha256` names its files' contents, for records and content keys.

    Every byte has been checked, and every tensor's shape. The generator and the directions are loaded; each
    other network is when it is first asked for, and checked again then. Parser, perceptual and identity
    network are None where the pack has none.
    """

    name: str
    spec: PackSpec
    folder: Path
    model: FaceModel
    directions: Mapping[str, Direction]
    sha256: Mapping[str, str]
    networks: Networks

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.model.network.parameters()).device

    @cached_property
    def generator(self) -> PackGenerator | NoGenerator:
        """z, rows, style vectors and images; see `packs.networks`."""
        if isinstance(self.model.network, Generator):
            return PackGenerator(self.model.network)
        return NoGenerator(self.name)

    @cached_property
    def encoder(self) -> PackEncoder | NoEncoder:
        """From crops to rows; false where it cannot be used alone."""
        if not isinstance(self.model, PlainModel):
            return NoEncoder(self.name, geometry=True)
        model = self.model
        return PackEncoder(lambda: model.encoder) if model.encodes else NoEncoder(self.name)

    @cached_property
    def parser(self) -> PackParser | None:
        """What each pixel of a crop shows."""
        return None if self.networks.parser is None else PackParser(self.networks.parser())

    @cached_property
    def perceptual(self) -> PackPerceptual | None:
        """How different images look."""
        return None if self.networks.perceptual is None else PackPerceptual(self.networks.perceptual())

    @cached_property
    def identity(self) -> PackIdentity | None:
        """Who a face is."""
        return None if self.networks.identity is None else PackIdentity(self.networks.identity())

    @cached_property
    def text(self) -> TextNetwork | None:
        """CLIP's text half, loaded when first asked for: 250 MB, on the processor. `free_text` lets go."""
        from stit_vfx.text.clip import load_text_net

        part = self.spec.text
        return None if part is None else load_text_net(part, self.folder, sha256=self.sha256[part.file])

    def free_text(self) -> None:
        """Let go of the text network; it is loaded again when it is asked for again."""
        self.__dict__.pop("text", None)

    @cached_property
    def style_basis(self) -> Basis | None:
        """What each style channel does to an image's embedding, loaded when first asked for."""
        from stit_vfx.text.direction import Basis, StyleLayout

        if self.spec.style_basis is None or not isinstance(self.model.network, Generator):
            return None
        layout = StyleLayout.of(self.model.network.synthesis)
        file = self.spec.style_basis.file
        return Basis.load(self.folder / file, layout, sha256=self.sha256[file])


def load_pack(name: str | Path, *, device: str | torch.device = "cpu", search: Sequence[Path] = ()) -> Pack:
    """Find a pack by name or folder, check every byte of it, and load it.

    search  folders looked in before all others
    Raises PackMissingError, PackDamagedError, PackFormatError or PackNewerError. Only safetensors are read.
    """
    folder = find_pack(name, search=search)
    spec = read_spec(folder)
    check_files(folder, spec)
    model = load_model(spec, folder, device)
    directions = load_directions(spec, folder, model)
    networks = Networks.of(spec, folder, device)
    return Pack(spec.name, spec, folder, model, directions, dict(spec.sha256), networks)


@dataclass(frozen=True)
class Networks:
    """The networks that are loaded when they are needed; None where the pack has none."""

    parser: Lazy[BiSeNet] | None
    perceptual: Lazy[Lpips] | None
    identity: Lazy[ArcFace] | None

    @classmethod
    def of(cls, spec: PackSpec, folder: Path, device: str | torch.device) -> Networks:
        """Raises PackFormatError for tensors that are missing, left over or of another shape."""

        def lazy(part: Parser | PerceptualNet | IdentityNet | None, make: Callable[[], Any]) -> Any:
            if part is None:
                return None
            return Lazy.of(make, folder / part.file, device=device, sha256=spec.sha256[part.file])

        return cls(lazy(spec.parser, BiSeNet), lazy(spec.perceptual, Lpips), lazy(spec.identity, ArcFace))


def load_model(spec: PackSpec, folder: Path, device: str | torch.device) -> FaceModel:
    """The face model that the generator's architecture asks for."""
    if isinstance(spec.generator, PlainGenerator):
        return _plain(spec, spec.generator, folder, device)
    from stit_vfx.packs.geometry import GeometryModel

    return GeometryModel.load(spec, folder, device=device)


def load_directions(spec: PackSpec, folder: Path, model: FaceModel) -> dict[str, Direction]:
    """Directions by name; their vectors checked against the model."""
    files = {each.file for each in spec.directions.values() if each.file is not None}
    tensors = {file: read_tensors(folder / file, sha256=spec.sha256[file]) for file in files}
    found = {}
    for name, each in spec.directions.items():
        key = each.key or name
        vector, transformer = None, None
        if each.file is not None and each.kind == "transformer":
            where = folder / each.file
            transformer = read_transformer(name, each, tensors[each.file], model=model, where=where)
        elif each.file is not None:
            where = folder / each.file
            if key not in tensors[each.file]:
                raise PackFormatError(f"has no tensor {key} for direction {name}", where=where)
            vector = tensors[each.file][key].float().numpy()
            _check_vector(name, each, vector, model, where)
        if each.layers and max(each.layers) >= model.num_ws:
            raise PackFormatError(f"directions.{name}.layers: there are layers 0 to {model.num_ws - 1}")
        found[name] = Direction(
            name,
            key,
            each.space,
            vector,
            each.shape,
            each.look,
            each.scale,
            each.layers,
            each.range,
            each.title,
            transformer,
        )
    return found


def _check_vector(name: str, spec: DirectionSpec, vector: np.ndarray, model: FaceModel, where: Path) -> None:
    wanted: tuple[int, ...]
    if spec.space == "style":
        if not isinstance(model.network, Generator):
            raise PackFormatError(f"directions.{name}.space: this generator has no style space")
        wanted = (sum(model.network.synthesis.style_sizes()),)
    else:
        wanted = (model.w_dim,) if spec.space == "w" else (model.num_ws, model.w_dim)
    if vector.shape != wanted:
        shapes = f"{vector.shape} where {wanted} is expected"
        raise PackFormatError(f"the vector of direction {name} is {shapes}", where=where)
    if not np.isfinite(vector).all():
        raise PackFormatError(f"the vector of direction {name} is not finite", where=where)


def _plain(spec: PackSpec, generator: PlainGenerator, folder: Path, device: str | torch.device) -> PlainModel:
    sizes = generator.model_dump(exclude={"arch", "file", "num_ws"})
    with torch.device("meta"):
        network = Generator(GeneratorConfig(**sizes))
    fill(network, folder / generator.file, device=device, sha256=spec.sha256[generator.file])
    return PlainModel(
        network,
        _encoder(spec, generator, folder, device),
        schedule=spec.schedule.model_dump(exclude_none=True),
        crop_size=spec.crop_size,
    )


def _encoder(
    spec: PackSpec, generator: PlainGenerator, folder: Path, device: str | torch.device
) -> Lazy[Encoder] | None:
    part = spec.encoder
    if not isinstance(part, PlainEncoder):
        return None
    body = BodyConfig(part.widths, part.depths, part.reduction)
    config = EncoderConfig(generator.num_ws, generator.w_dim, body, part.arch)
    return Lazy.of(lambda: Encoder(config), folder / part.file, device=device, sha256=spec.sha256[part.file])
