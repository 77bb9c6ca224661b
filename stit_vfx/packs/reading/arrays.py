"""Arrays of numpy: the four functions that pickles of them name, and the .npy format. Numbers only."""

from __future__ import annotations

import ast
import re
from typing import Any

import numpy as np

from stit_vfx.errors import PackSourceError, PackUnsafeError
from stit_vfx.packs.reading.machine import ONLY_WEIGHTS, Known, Pending, broken, integers, shown
from stit_vfx.packs.reading.values import AGAIN, Span, check_shape, product

# Kind and width in bytes; no objects, no texts, no records.
NUMBERS = re.compile(r"([<>|=]?)(b1|[iu][1248]|f[248])")
MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")
MAGIC = b"\x93NUMPY"
HEADER = {"descr", "fortran_order", "shape"}
LONGEST_HEADER = 1 << 14


def number_type(code: Any) -> np.dtype[Any]:
    """The type that a code such as "<f4" names. Raises PackUnsafeError for all but numbers."""
    if not isinstance(code, str) or not NUMBERS.fullmatch(code):
        raise PackUnsafeError(f"an array of the type {shown(code)}", hint="Only numbers are read")
    return np.dtype(code)


def made_array(data: Span, dtype: np.dtype[Any], shape: tuple[int, ...], *, column_wise: bool) -> np.ndarray:
    """An array in memory of its own and this machine's byte order.

    Raises PackUnsafeError if shape and bytes disagree.
    """
    check_shape(shape)
    if product(shape) * dtype.itemsize != data.size:
        raise PackUnsafeError(f"an array of shape {shape} and type {dtype} has {data.size} bytes")
    raw = data.copied().numpy()
    flat = raw.astype(bool) if dtype.kind == "b" else raw.view(dtype)
    native = flat.astype(dtype.newbyteorder("="), copy=False)
    return native.reshape(shape, order="F" if column_wise else "C")


class Arrays:
    """What pickles of arrays name. All arrays of a file together have no more bytes than the file."""

    def __init__(self, size: int) -> None:
        self._left = size

    def known(self) -> list[Known]:
        known = [Known("numpy.ndarray", detail="ndarray"), Known("numpy.dtype", call=_dtype)]
        known += [Known(f"{module}._reconstruct", call=self._reconstruct) for module in MULTIARRAY]
        known += [Known(f"{module}.scalar", call=self._scalar) for module in MULTIARRAY]
        known += [Known(f"{module}._frombuffer", call=self._from_buffer) for module in NUMERIC]
        return known

    def _reconstruct(self, kind: Any, shape: Any, code: Any) -> Pending:
        if not isinstance(kind, Known) or kind.detail != "ndarray" or integers(shape) != (0,):
            raise PackUnsafeError("an array of a class of its own", hint=ONLY_WEIGHTS)
        return Pending(self._finish)

    def _finish(self, state: Any) -> np.ndarray:
        if type(state) is not tuple or len(state) != 5:
            raise broken("an array has no contents")
        _version, shape, dtype, column_wise, data = state
        if isinstance(data, list):
            raise PackUnsafeError("an array of objects", hint="Only numbers are read")
        if isinstance(data, str):
            data = _from_python_2(data)
        return self._array(data, dtype, shape, column_wise=column_wise is True)

    def _from_buffer(self, data: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> np.ndarray:
        """`axes` says how to turn the axes of what is stored row by row, for order "K"."""
        if not isinstance(order, str) or order not in ("A", "C", "F", "K"):
            raise broken("an array has no order")
        array = self._array(data, dtype, shape, column_wise=order == "F")
        if order != "K" or axes is None:
            return array
        if sorted(integers(axes)) != list(range(array.ndim)):
            raise broken("an array has other axes than it has")
        return array.transpose(axes)

    def _scalar(self, dtype: Any, data: Any) -> Any:
        return self._array(data, dtype, (), column_wise=False).item()

    def _array(self, data: Any, dtype: Any, shape: Any, *, column_wise: bool) -> np.ndarray:
        if not isinstance(data, bytes | Span) or not isinstance(dtype, np.dtype):
            raise PackUnsafeError("an array of no numbers", hint="Only numbers are read")
        span = Span.of(data)
        self._left -= span.size
        if self._left < 0:
            raise PackUnsafeError("arrays larger than the file that they are in")
        return made_array(span, dtype, integers(shape), column_wise=column_wise)


def _from_python_2(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise broken("an array has no contents") from None


def _dtype(code: Any, align: Any = False, copy: Any = True) -> Pending:
    number_type(code)

    def finish(state: Any) -> np.dtype[Any]:
        """The state is (version, byte order, subtype, names, fields, size, alignment, flags)."""
        if type(state) is not tuple or len(state) < 5 or any(each is not None for each in state[2:5]):
            raise PackUnsafeError("an array of records", hint="Only numbers are read")
        order = state[1]
        if not isinstance(order, str) or order not in ("<", ">", "=", "|"):
            raise broken("a type of numbers has no byte order")
        return number_type(order + code.lstrip("<>=|"))

    return Pending(finish)


def read_npy(data: Span) -> np.ndarray:
    """The array of a .npy file. Raises PackSourceError, or PackUnsafeError if it holds objects."""
    dtype, shape, column_wise, start = _header(data)
    check_shape(shape)
    size = product(shape) * dtype.itemsize
    if data.size - start > size:
        raise PackUnsafeError(f"an array of shape {shape} and type {dtype} has {data.size - start} bytes")
    return made_array(data.part(start, size), dtype, shape, column_wise=column_wise)


def _header(data: Span) -> tuple[np.dtype[Any], tuple[int, ...], bool, int]:
    version = bytes(data.part(0, 8).view())[6]
    width = 2 if version == 1 else 4
    length = int.from_bytes(data.part(8, width).view(), "little")
    if length > LONGEST_HEADER or version not in (1, 2, 3):
        raise PackSourceError("is no array of numpy that is read", hint=AGAIN)
    said = _literal(bytes(data.part(8 + width, length).view()))
    if not isinstance(said, dict) or set(said) != HEADER or not isinstance(said["shape"], tuple):
        raise broken("the header of the array says something else")
    return (
        number_type(said["descr"]),
        integers(said["shape"]),
        bool(said["fortran_order"]),
        8 + width + length,
    )


def _literal(text: bytes) -> Any:
    try:
        return ast.literal_eval(text.decode("latin-1").strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise broken("the header of the array cannot be read") from None
