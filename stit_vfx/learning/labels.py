"""The table that a person fills in: one row for each picture, one column for each thing to say of it."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

import numpy as np

from stit_vfx.errors import JobError, JobFieldError

Kind = Literal["binary", "numeric"]

YES = ("yes", "y", "true", "x", "1")
NO = ("no", "n", "false", "0")
_FORM = "The first line is file,label and each further line one picture"
_MAX_BYTES = 50_000_000


@dataclass(frozen=True)
class Table:
    """A CSV file: names of columns, rows by column, and what stands between cells."""

    columns: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...]
    delimiter: str

    def to_text(self) -> str:
        """The file, with empty cells where a row says nothing."""
        text = io.StringIO()
        writer = csv.DictWriter(
            text,
            self.columns,
            restval="",
            delimiter=self.delimiter,
            lineterminator="\n",
            extrasaction="ignore",
        )
        writer.writeheader()
        writer.writerows(self.rows)
        return text.getvalue()


@dataclass(frozen=True, eq=False)
class Target:
    """What a direction is to change: a number for each sample, NaN where nobody said.

    Binary values are 0 and 1. `positive` and `negative` are the words for them. `source`: labels or measured.
    """

    name: str
    values: np.ndarray
    kind: Kind
    source: Literal["labels", "measured"] = "labels"
    positive: str = "1"
    negative: str = "0"

    @property
    def known(self) -> np.ndarray:
        """(N,) bool: where there is a value."""
        return np.isfinite(self.values)


def read_table(path: Path) -> Table:
    """A CSV file in UTF-8, with commas, semicolons or tabs. Raises JobError if it has no column `file`."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise JobError(f"is larger than {_MAX_BYTES} bytes", where=path)
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise JobError("there is no such file", where=path, hint="Check the path of the labels") from None
    except (OSError, UnicodeDecodeError) as error:
        raise JobError(f"cannot be read as UTF-8 text: {error}", where=path) from None
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    try:
        reader = csv.DictReader(io.StringIO(text), delimiter=delimiter, strict=True)
        columns = tuple(name.strip() for name in reader.fieldnames or ())
        reader.fieldnames = list(columns)
        rows = tuple({k: v or "" for k, v in row.items() if isinstance(k, str)} for row in reader)
    except csv.Error as error:
        raise JobError(f"is no table: {error}", where=path, hint=_FORM) from None
    if "file" not in columns or len(set(columns)) < len(columns):
        raise JobError("needs a column called file, and no name twice", where=path, hint=_FORM)
    return Table(columns, rows, delimiter)


def read_column(path: Path, column: str, files: Sequence[str], *, positive: str | None = None) -> Target:
    """What a column says of each picture, in the order of `files`; NaN where its cell is empty.

    Two words, or two numbers, are a binary label: yes and 1 are more, no and 0 are less; for other words
    `positive` says which is more. More than two numbers are a numeric one. Raises JobFieldError naming the
    row for what cannot be read, for pictures without a row, and for rows without a picture.
    """
    table = read_table(path)
    if column not in table.columns:
        close = get_close_matches(column, table.columns, n=1) or [", ".join(table.columns[1:])]
        raise JobFieldError(f"has no column {column!r}", where=path, hint=f"Did you mean {close[0]}?")
    cells = _cells(table, column, files, path)
    said = sorted({cell for cell in cells if cell})
    if not said:
        raise JobFieldError(f"column {column} is empty", where=path, hint="Fill it in, then learn")
    numbers = {cell: _number(cell) for cell in said}
    if None not in numbers.values() and (len(set(numbers.values())) > 2 or set(said) - {*YES, *NO}):
        return _numeric(column, cells, numbers, path)
    return _binary(column, cells, said, positive, path)


def _cells(table: Table, column: str, files: Sequence[str], path: Path) -> list[str]:
    """The column's cells in the order of the pictures, stripped, in lower case."""
    cells: dict[str, str] = {}
    for row in table.rows:
        name = row["file"].strip()
        if name in cells:
            raise JobFieldError(f"has two rows for {name}", where=path, hint="Delete one")
        cells[name] = row.get(column, "").strip().lower()
    if missing := [file for file in files if file not in cells]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise JobFieldError(
            f"has no row for {missing[0]}{more}", where=path, hint="Leave a cell empty rather than a row out"
        )
    if unknown := sorted(set(cells) - set(files) - {""}):
        raise JobFieldError(f"has a row for {unknown[0]}, which is no sample", where=path)
    return [cells[file] for file in files]


def _number(cell: str) -> float | None:
    try:
        return float(cell.replace(",", "."))
    except ValueError:
        return None


def _numeric(column: str, cells: Sequence[str], numbers: Mapping[str, float | None], path: Path) -> Target:
    values = np.array([math.nan if not cell else numbers[cell] for cell in cells], np.float64)
    for cell, value in zip(cells, values, strict=True):
        if cell and not math.isfinite(value):
            raise JobFieldError(
                f"column {column}: {cell!r} is no number", where=path, hint="Leave the cell empty"
            )
    distinct = sorted(set(values[np.isfinite(values)]))
    if len(distinct) != 2:
        return Target(column, values, "numeric")
    low, high = distinct
    values = np.where(np.isfinite(values), (values == high).astype(np.float64), np.nan)
    return Target(column, values, "binary", positive=f"{high:g}", negative=f"{low:g}")


def _binary(
    column: str, cells: Sequence[str], said: Sequence[str], positive: str | None, path: Path
) -> Target:
    more = {positive.strip().lower()} if positive is not None else set(YES)
    yes, no = [word for word in said if word in more], [word for word in said if word not in more]
    understood = positive is not None or all(word in NO for word in no)
    if not understood and len(said) > 2:
        odd = next(word for word in said if word not in (*YES, *NO))
        raise JobFieldError(
            f"column {column}: {odd!r} is neither a number nor one of two words",
            where=path,
            hint="Write yes and no, or numbers",
        )
    if not understood:
        raise JobFieldError(
            f"column {column}: {' or '.join(said)} does not say which is more",
            where=path,
            hint=f"Add --positive {said[0]}",
        )
    words = {word: float(word in more) for word in said}
    values = np.array([words.get(cell, math.nan) for cell in cells], np.float64)
    return Target(
        column, values, "binary", positive=(yes or [positive or "yes"])[0], negative=(no or ["no"])[0]
    )
