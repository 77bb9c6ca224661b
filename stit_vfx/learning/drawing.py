"""Where samples come from: faces that a generator draws by itself, or pictures of faces, encoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from stit_vfx.cache import children_of
from stit_vfx.canonical import canonical_json
from stit_vfx.errors import JobError, NoFaceError, PlateMissingError
from stit_vfx.events import Cancel, Reporter
from stit_vfx.gan.stylegan2 import Generator
from stit_vfx.learning import samples as store
from stit_vfx.plate.sequence import PICTURES
from stit_vfx.steps.image import to_code, to_network

if TYPE_CHECKING:
    from stit_vfx.face.detect import FaceFinder
    from stit_vfx.packs.load import Pack
    from stit_vfx.plate.source import Plate

THUMB_PX = 96
# More thumbnails than this make a sheet that no viewer opens.
SHEET_FACES = 400


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """What samples to make. Without `images` the generator draws `count` faces from `seed`.

    truncation  how far from the average face, 0..1; 1 is everything the generator knows
    images      a folder of pictures, one picture, a plate's pattern or a movie; at most `count` of them,
                evenly spread, the largest face of each
    columns     empty columns for the table
    """

    count: int
    seed: int = 0
    truncation: float = 0.7
    images: str | None = None
    colourspace: str | None = None
    ocio: str | None = None
    columns: tuple[str, ...] = ("label",)


@dataclass(frozen=True, eq=False)
class Drawn:
    """One sample: its picture (H, W, 3) uint8 sRGB, rows (num_ws, w_dim), landmarks (68, 2) if a face was
    looked for, and where it is from."""

    picture8: np.ndarray
    ws: np.ndarray
    landmarks: np.ndarray | None = None
    source: str = ""


def draw_samples(
    pack: Pack,
    folder: Path,
    wish: Sampling,
    *,
    finder: Callable[[], FaceFinder] | None = None,
    reporter: Reporter,
    cancel: Cancel,
) -> store.Samples:
    """Make a folder of samples, or go on with one that was begun, or add to one that holds fewer.

    The picture and code of a sample depend on its number and the settings alone, never on how many there are.
    Raises JobError if the pack cannot draw, NoFaceError if no picture shows a face, OutputError if the folder
    holds something else.
    """
    source = _drawn(pack, wish) if wish.images is None else _encoded(pack, wish, finder)
    settings = {
        "schema": store.SCHEMA,
        **store.made_with(pack),
        "seed": wish.seed if wish.images is None else None,
        "truncation": wish.truncation if wish.images is None else None,
        "pictures": source.pictures,
        "count": source.count,
    }
    # A pack may have gained directions since; what its codes mean has not changed.
    store.claim(folder, {name: value for name, value in settings.items() if name != "sha256"})
    parts = _Parts(folder)
    for number in range(source.count):
        cancel.check()
        if not parts.done(number):
            parts.put(number, source.make(number))
        reporter.progress("sample", number + 1, source.count)
    return _finish(pack, folder, parts, source.count, settings, wish.columns)


@dataclass(frozen=True)
class _Source:
    """`pictures`: a sum over their names, since another list would give a number another face."""

    count: int
    make: Callable[[int], Drawn | None]
    pictures: str | None = None


def _drawn(pack: Pack, wish: Sampling) -> _Source:
    network = pack.model.network
    if not isinstance(network, Generator):
        raise JobError(
            f"pack {pack.name} draws no faces of its own",
            hint="Give pictures of faces with --images",
        )

    def make(number: int) -> Drawn:
        ws = draw_ws(network, wish, number)
        with torch.no_grad():
            picture = to_code(pack.model.synthesize(ws, None))[0]
        return Drawn(as_8bit(picture), ws[0].float().cpu().numpy(), None, f"seed {wish.seed}")

    return _Source(wish.count, make)


def draw_ws(network: Generator, wish: Sampling, number: int) -> torch.Tensor:
    """Rows (1, num_ws, w_dim) of the sample with a number."""
    rng = np.random.default_rng([wish.seed, number])
    z = torch.from_numpy(rng.standard_normal((1, network.config.z_dim)).astype(np.float32))
    with torch.no_grad():
        rows: torch.Tensor = network.mapping(z.to(network.mapping.w_avg.device), psi=float(wish.truncation))
    return rows


def as_8bit(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) code to uint8."""
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


# pictures of faces ------------------------------------------------------------------------------------------


def _encoded(pack: Pack, wish: Sampling, finder: Callable[[], FaceFinder] | None) -> _Source:
    assert wish.images is not None
    places = _spread(list(_places(wish)), wish.count)
    if finder is None:
        from stit_vfx.face.detect import make_finder

        def finder() -> FaceFinder:
            return make_finder("auto")

    opened: list[FaceFinder] = []

    def make(number: int) -> Drawn | None:
        if not opened:
            opened.append(finder())
        plate, frame = places[number]
        return encode_face(pack, plate, frame, opened[0])

    names = [[plate.name, plate.path(frame) and str(plate.path(frame)), frame] for plate, frame in places]
    return _Source(len(places), make, sha256(canonical_json(names).encode()).hexdigest())


def _places(wish: Sampling) -> Iterator[tuple[Plate, int]]:
    """Every picture: a plate and a frame of it."""
    from stit_vfx.plate.source import open_plate

    folder = Path(str(wish.images)).expanduser()
    if not folder.is_dir():
        plate = open_plate(folder, colourspace=wish.colourspace, config=wish.ocio)
        yield from ((plate, frame) for frame in plate.frames)
        return
    files = [path for path in children_of(folder) if path.suffix.lower() in PICTURES]
    if not files:
        raise PlateMissingError(
            "holds no pictures", where=folder, hint="PNG, JPEG, TIFF, DPX and EXR are read"
        )
    # Each by itself: pictures of a folder differ in size, and their numbers mean nothing.
    yield from (picture_plate(path, colourspace=wish.colourspace, ocio=wish.ocio) for path in files)


def picture_plate(
    path: Path, *, colourspace: str | None = None, ocio: str | None = None
) -> tuple[Plate, int]:
    """A picture as a plate, and the frame of it that it is; of a movie or a pattern the first frame."""
    from stit_vfx.plate.source import open_plate

    plate = open_plate(path, colourspace=colourspace, config=ocio)
    own = (frame for frame in plate.frames if plate.path(frame) == path)
    return plate, next(own, plate.frames[0])


def _spread(places: list[Any], count: int) -> list[Any]:
    if len(places) <= count:
        return places
    return [places[round(place)] for place in np.linspace(0, len(places) - 1, count)]


def encode_face(pack: Pack, plate: Plate, frame: int, finder: FaceFinder) -> Drawn | None:
    """The largest face of a frame, as the pack sees it; None if there is none."""
    from stit_vfx.face.align import quads_from_landmarks
    from stit_vfx.plate.colour import CodeSpace
    from stit_vfx.steps.align import cut

    code, model = CodeSpace.of(plate.colour), pack.model
    plate_lin = plate.read(frame).rgb()
    faces = finder.find(code.to_display8(plate_lin), describe=False)
    if not faces:
        return None
    landmarks = faces[0].landmarks[None]
    quads = quads_from_landmarks(landmarks, center_sigma=0, xy_sigma=0)
    crop = cut(plate_lin, quads[0], size=model.crop_size, code=code).crop_code
    shapes = model.fit(landmarks, np.ones(1))
    ws = model.encode(to_network(crop, model.resolution), shapes, quads)[0].float().cpu().numpy()
    path = plate.path(frame)
    source = f"{plate.name} frame {frame}" if path is None else str(path)
    return Drawn(as_8bit(crop), ws, landmarks[0], source)


# the folder -------------------------------------------------------------------------------------------------


class _Parts:
    """Samples that are made one by one: a small file each, until all are in one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, dict[str, np.ndarray]] = {}
        self._sources: dict[str, str] = {}
        stored = store.stored_arrays(folder)
        if stored is not None:
            record, arrays = stored
            for row, file in enumerate(record["files"]):
                self._known[file] = {name: array[row] for name, array in arrays.items() if name != "styles"}
            self._known |= {file: {} for file in record["without_face"]}
            self._sources = dict(record["sources"])

    def done(self, number: int) -> bool:
        file = _file(number)
        if file not in self._known:
            self._read(file)
        known = self._known.get(file)
        # An empty one is a picture without a face.
        return known is not None and (not known or (self._folder / file).is_file())

    def put(self, number: int, drawn: Drawn | None) -> None:
        from safetensors.numpy import save

        from stit_vfx.atomic import atomic_bytes
        from stit_vfx.review.sheet import write_png

        file = _file(number)
        arrays: dict[str, np.ndarray] = {} if drawn is None else {"ws": drawn.ws}
        if drawn is not None and drawn.landmarks is not None:
            arrays["landmarks"] = np.asarray(drawn.landmarks, np.float64)
        if drawn is not None:
            write_png(self._folder / file, drawn.picture8)
        source = "" if drawn is None else drawn.source
        plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        atomic_bytes(self._path(file), save(plain, metadata={"source": source}))
        self._known[file], self._sources[file] = arrays, source

    def _read(self, file: str) -> None:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self._path(file), "np") as stored:
                arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
                self._sources[file] = (stored.metadata() or {}).get("source", "")
        except (OSError, SafetensorError):
            return
        self._known[file] = arrays

    def _path(self, file: str) -> Path:
        return self._folder / store.PARTS / f"{Path(file).stem}.safetensors"

    def all(self, count: int) -> tuple[dict[str, dict[str, np.ndarray]], list[str], dict[str, str]]:
        """(arrays by file, files without a face, where each is from), in the order of their numbers."""
        names = [_file(number) for number in range(count)]
        with_face = {file: self._known[file] for file in names if self._known[file]}
        sources = {file: self._sources[file] for file in with_face}
        return with_face, [file for file in names if not self._known[file]], sources

    def remove(self) -> None:
        import shutil

        shutil.rmtree(self._folder / store.PARTS, ignore_errors=True)


def _file(number: int) -> str:
    return f"sample_{number + 1:04d}.png"


def _finish(
    pack: Pack,
    folder: Path,
    parts: _Parts,
    count: int,
    settings: Mapping[str, Any],
    columns: Sequence[str],
) -> store.Samples:
    """Table, contact sheet, and last the codes, which make the folder whole."""
    from stit_vfx.review.sheet import picture_grid, write_png

    arrays, without, sources = parts.all(count)
    if not arrays:
        raise NoFaceError("no picture shows a face", where=folder, hint="Check --images and --colourspace")
    files = list(arrays)
    store.write_labels(folder / store.LABELS, files, columns)
    whole = {name: np.stack([each[name] for each in arrays.values()]) for name in arrays[files[0]]}
    if isinstance(pack.model.network, Generator):
        whole["styles"] = styles_of(pack.model.network, whole["ws"])
    record = {**settings, "files": files, "without_face": without, "sources": sources}
    samples = store.Samples(folder, tuple(files), whole["ws"], None, None, record)
    thumbs = [
        (Path(file).stem.removeprefix("sample_"), _thumb(samples.picture8(number)))
        for number, file in enumerate(files[:SHEET_FACES])
    ]
    columns_wide = int(np.clip(np.ceil(np.sqrt(len(thumbs))), 4, 16))
    rows = [thumbs[at : at + columns_wide] for at in range(0, len(thumbs), columns_wide)]
    title = f"{len(files)} samples of {pack.name}"
    write_png(folder / store.SHEET, picture_grid(rows, title=title))
    store.store_arrays(folder, record, whole)
    parts.remove()
    return store.read_samples(folder)


def _thumb(picture8: np.ndarray) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.fromarray(picture8).resize((THUMB_PX, THUMB_PX), Image.Resampling.LANCZOS))


def styles_of(network: Generator, ws: np.ndarray) -> np.ndarray:
    """(N, channels) float32: all style vectors of rows (N, num_ws, w_dim), network order, toRGB included."""
    device = network.mapping.w_avg.device
    with torch.no_grad():
        parts = [
            torch.cat(
                network.synthesis.styles(torch.from_numpy(ws[at : at + 64]).float().to(device)), 1
            ).cpu()
            for at in range(0, len(ws), 64)
        ]
    return np.asarray(torch.cat(parts).numpy())
