"""A folder of samples: what the codes of some faces are, and how the faces look.

    sample_0001.png ...   one picture for each face
    labels.csv            `file` and columns that a person fills in
    contact_sheet.png     all of them, small
    samples.json          what was asked for, and with which pack
    samples.safetensors   codes, in the order of `files`; written last

A folder without the last file is unfinished: the same command goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stit_vfx.atomic import atomic_bytes
from stit_vfx.cache import read_json, write_json
from stit_vfx.errors import JobError, OutputError

if TYPE_CHECKING:
    from stit_vfx.packs.load import Pack

SCHEMA = "stit.samples/1"
RECORD, ARRAYS, LABELS, SHEET, PARTS = (
    "samples.json",
    "samples.safetensors",
    "labels.csv",
    "contact_sheet.png",
    "parts",
)
_AGAIN = "Run stit directions sample again; it goes on where it was"


@dataclass(frozen=True, eq=False)
class Samples:
    """Codes of N faces. `ws` (N, num_ws, w_dim) and `styles` (N, channels) float32; `files` are pictures.

    `styles` is None for generators without style space. `landmarks` (N, 68, 2) in px of the picture that a
    face was found in; None for faces that a generator drew. `record`: what they were made with.
    """

    folder: Path
    files: tuple[str, ...]
    ws: np.ndarray
    styles: np.ndarray | None
    landmarks: np.ndarray | None
    record: Mapping[str, Any]

    def picture8(self, number: int) -> np.ndarray:
        """(H, W, 3) uint8 sRGB of a sample, by its place in `files`."""
        from PIL import Image

        path = self.folder / self.files[number]
        try:
            with Image.open(path) as image:
                return np.asarray(image.convert("RGB"))
        except OSError as error:
            raise JobError(f"cannot be read: {error}", where=path, hint=_AGAIN) from None


def made_with(pack: Pack) -> dict[str, Any]:
    """What a code's meaning depends on: the pack's generator and encoder, by sha256, and its name."""
    parts = {"generator": pack.spec.generator, "encoder": pack.spec.encoder}
    return {
        "pack": pack.name,
        **{name: None if part is None else pack.sha256[part.file] for name, part in parts.items()},
        "sha256": dict(pack.sha256),
    }


def read_samples(folder: Path, *, pack: Pack | None = None) -> Samples:
    """The samples of a folder. Raises JobError if it is none, unfinished, damaged, or another pack's."""
    arrays = stored_arrays(folder)
    if arrays is None:
        begun = "is not finished" if read_json(folder / RECORD) is not None else "holds no samples"
        raise JobError(begun, where=folder, hint=_AGAIN if "not" in begun else "See stit directions sample")
    record, found = arrays
    if pack is not None and record.get("generator") != made_with(pack)["generator"]:
        raise JobError(
            f"these are samples of pack {record.get('pack')}, whose generator is another than {pack.name}'s",
            where=folder,
            hint="Codes of one generator mean nothing to another; make samples with this pack",
        )
    files = tuple(record["files"])
    return Samples(folder, files, found["ws"], found.get("styles"), found.get("landmarks"), record)


def stored_arrays(folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
    """(record, arrays) of a finished folder; None if there is none. Raises JobError if it is damaged."""
    from safetensors import SafetensorError, safe_open

    path = folder / ARRAYS
    if not path.is_file():
        return None
    try:
        with safe_open(path, "np") as file:
            record = json.loads(file.metadata()["stit"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a mapping
        whole = record["schema"] == SCHEMA and len(record["files"]) == len(arrays["ws"])
    except (OSError, SafetensorError, TypeError, KeyError, ValueError):
        whole = False
    if not whole:
        raise JobError("is damaged", where=path, hint=f"Delete it. {_AGAIN}")
    return record, arrays


def store_arrays(folder: Path, record: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write the codes with their record: the folder's last file."""
    from safetensors.numpy import save

    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    atomic_bytes(folder / ARRAYS, save(plain, metadata={"stit": json.dumps(record, sort_keys=True)}))


def claim(folder: Path, settings: Mapping[str, Any]) -> None:
    """Say in the folder what is made there. Only `count` may differ from what it says already, upwards.

    Raises OutputError for a folder that holds other samples, since labels would then be of other faces.
    """
    before = read_json(folder / RECORD)
    if before is not None:
        odd = [name for name in settings if name != "count" and before.get(name) != settings[name]]
        if odd:
            raise OutputError(
                f"holds other samples: their {odd[0]} is not the same",
                where=folder,
                hint="Choose another folder",
            )
        if before.get("count", 0) > settings["count"]:
            raise OutputError(
                f"already holds {before['count']} samples", where=folder, hint="Choose another folder"
            )
    elif (folder / LABELS).exists():
        raise OutputError(f"has a {LABELS} of something else", where=folder, hint="Choose another folder")
    write_json(folder / RECORD, settings)


def write_labels(path: Path, files: Sequence[str], columns: Sequence[str]) -> None:
    """Add a row for every picture that has none yet, in the table's own form; filled-in cells stay."""
    from stit_vfx.learning.labels import Table, read_table

    old = read_table(path) if path.exists() else Table(("file", *columns), (), ",")
    known = {row["file"] for row in old.rows}
    names = (*old.columns, *(column for column in columns if column not in old.columns))
    rows = (*old.rows, *({"file": file} for file in files if file not in known))
    if not path.exists() or len(rows) > len(old.rows) or len(names) > len(old.columns):
        atomic_bytes(path, Table(names, rows, old.delimiter).to_text().encode("utf-8"))
