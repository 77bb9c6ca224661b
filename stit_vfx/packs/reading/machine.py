"""Reads a pickle without being able to run one.

Python's own unpickler imports what a file names and calls it. This one knows 47 instructions, builds plain
containers, and asks a list of names for the rest; what is on that list is ours and inert. Everything that a
file could use to fill memory or to keep us busy is counted against a budget.
"""

from __future__ import annotations

import pickletools
import re
import struct
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from inspect import signature
from typing import Any, Protocol

from stit_vfx.errors import PackSourceError, PackUnsafeError
from stit_vfx.packs.reading.values import AGAIN, MOST_AXES, Span, Storage, Stranger

PROTOCOLS = range(2, 6)
# A checkpoint of 1.2 GB with optimisers and discriminators takes about 200,000 steps.
MOST_STEPS = 4_000_000
# A call is dearer than other steps.
CALL = 8
LONGEST_TEXT = 1 << 26
LONGEST_NAME = 256
LONGEST_NUMBER = 64
# Shorter bytes are copied; longer ones stay where they are until a tensor or an array wants them.
SHORT = 1 << 16
LARGEST_KEY = 1 << 60
LONGEST_KEY = 1 << 10
NAME = re.compile(r"[A-Za-z_][\w.]*", re.ASCII)
ONLY_WEIGHTS = "Only weights and plain settings are read; ask its maker for a file of those"


@dataclass(frozen=True, eq=False)
class Known:
    """A global on the list, with what stands for it: `call` for a function, `new` for a class."""

    title: str
    call: Callable[..., Any] | None = None
    new: Callable[..., Any] | None = None
    detail: Any = None


@dataclass(eq=False)
class Pending:
    """An object that is whole only after BUILD; until then only the stack and the memo may hold it."""

    finish: Callable[[Any], Any]
    slots: list[int] = field(default_factory=list)


WORDS: dict[type, str] = {
    Span: "a block of bytes",
    Storage: "a storage",
    Pending: "an array without contents",
}


@dataclass
class Budget:
    """What one file may cost in all, nested pickles included."""

    steps: int = MOST_STEPS

    def spend(self, steps: int) -> None:
        self.steps -= steps
        if self.steps < 0:
            raise PackUnsafeError(f"takes more than {MOST_STEPS} steps to read", hint=ONLY_WEIGHTS)


class Names(Protocol):
    """The list of globals."""

    budget: Budget

    def find(self, module: str, name: str) -> Any:
        """What stands for a global. Raises PackUnsafeError naming it if it is not on the list."""

    def settle(self, stranger: Stranger, state: Any) -> Stranger:
        """Give a stranger its state. Raises PackUnsafeError if its class has none of this kind."""


def broken(problem: str) -> PackSourceError:
    """A pickle that no program writes."""
    return PackSourceError(f"is damaged: {problem}", hint=AGAIN)


def shown(value: Any) -> str:
    """A name from a file, fit for a message."""
    text = value if isinstance(value, str) else type(value).__name__
    return text[:80] if text.isprintable() else ascii(text[:80])


def title_of(value: Any) -> str:
    """What a value is, in words, for a message."""
    if isinstance(value, Known):
        return f"global {value.title}"
    if isinstance(value, Stranger):
        return f"an object of the class {shown(value.name)}"
    return WORDS.get(type(value)) or shown(type(value).__name__)


class Machine:
    """Reads one pickle of a span. `position` is then behind it.

    `persistent` says what stands for a persistent id; without it, such ids are refused.
    """

    def __init__(
        self, span: Span, names: Names, *, start: int = 0, persistent: Callable[[Any], Any] | None = None
    ) -> None:
        self.span, self.names, self.persistent, self.position = span, names, persistent, start
        self.data = span.view()
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """The object that the pickle describes, not yet checked for cycles (see tree.py)."""
        if self.take(1) != b"\x80" or self.take(1)[0] not in PROTOCOLS:
            raise PackSourceError("is no pickle of protocol 2 to 5")
        spend = self.names.budget.spend
        while (code := self.take(1)[0]) != STOP:
            spend(1)
            step = STEPS[code]
            if step is None:
                raise PackUnsafeError(f"opcode {_opcode(code)}, which no weights need", hint=ONLY_WEIGHTS)
            step(self)
        value = self.pop()
        if self.stack or self.marks:
            raise broken("objects are left over")
        return value

    def take(self, size: int) -> memoryview:
        start, self.position = self.position, self.position + size
        if self.position > self.span.size:
            raise PackSourceError("ends early", hint=AGAIN)
        return self.data[start : self.position]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise broken("an object is missing")
        return self.stack.pop()

    def top(self) -> Any:
        value = self.pop()
        self.push(value)
        return value

    def since_mark(self) -> list[Any]:
        if not self.marks:
            raise broken("a mark is missing")
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values


def integers(value: Any) -> tuple[int, ...]:
    """A shape as a file gives it. Raises PackUnsafeError for endless ones, PackSourceError for no numbers."""
    if not isinstance(value, tuple | list):
        raise broken("a shape is not made of whole numbers")
    if len(value) > MOST_AXES:
        raise PackUnsafeError(f"a shape of {len(value)} axes")
    if not all(type(each) is int for each in value):
        raise broken("a shape is not made of whole numbers")
    return tuple(value)


def _opcode(code: int) -> str:
    return TITLES.get(code, f"{code:#04x}")


# Plain values


def _frame(machine: Machine) -> None:
    if machine.number(8) > machine.span.size - machine.position:
        raise PackSourceError("ends early", hint=AGAIN)


def _constant(value: Any) -> Callable[[Machine], None]:
    return lambda machine: machine.push(value)


def _unsigned(size: int) -> Callable[[Machine], None]:
    return lambda machine: machine.push(machine.number(size))


def _signed(machine: Machine) -> None:
    machine.push(int.from_bytes(machine.take(4), "little", signed=True))


def _long(size: int) -> Callable[[Machine], None]:
    def step(machine: Machine) -> None:
        length = machine.number(size)
        if length > LONGEST_NUMBER:
            raise PackUnsafeError(f"a whole number of {length} bytes")
        machine.push(int.from_bytes(machine.take(length), "little", signed=True))

    return step


def _float(machine: Machine) -> None:
    machine.push(struct.unpack(">d", machine.take(8))[0])


def _text(size: int, encoding: str = "utf-8") -> Callable[[Machine], None]:
    def step(machine: Machine) -> None:
        length = machine.number(size)
        if length > LONGEST_TEXT:
            raise PackUnsafeError(f"a text of {length} bytes")
        try:
            machine.push(str(machine.take(length), encoding))
        except UnicodeDecodeError:
            raise broken("a text is not UTF-8") from None

    return step


def _bytes(size: int) -> Callable[[Machine], None]:
    def step(machine: Machine) -> None:
        length = machine.number(size)
        span = machine.span.part(machine.position, length)
        machine.position += length
        machine.push(bytes(span.view()) if length <= SHORT else span)

    return step


# Containers


def _mark(machine: Machine) -> None:
    machine.marks.append(len(machine.stack))


def _empty(kind: type) -> Callable[[Machine], None]:
    return lambda machine: machine.push(kind())


def _tuple(size: int) -> Callable[[Machine], None]:
    return lambda machine: machine.push(tuple(machine.pop() for _ in range(size))[::-1])


def _marked(kind: type) -> Callable[[Machine], None]:
    return lambda machine: machine.push(kind(machine.since_mark()))


def _fill(target: Any, kind: type, opcode: str) -> Any:
    if not isinstance(target, kind):
        raise PackUnsafeError(f"opcode {opcode} on {title_of(target)}", hint=ONLY_WEIGHTS)
    return target


def _append(machine: Machine) -> None:
    value = machine.pop()
    _fill(machine.top(), list, "APPEND").append(value)


def _appends(machine: Machine) -> None:
    values = machine.since_mark()
    _fill(machine.top(), list, "APPENDS").extend(values)


def _set_item(machine: Machine) -> None:
    value, key = machine.pop(), machine.pop()
    put_all(_fill(machine.top(), dict, "SETITEM"), [key, value])


def _set_items(machine: Machine) -> None:
    values = machine.since_mark()
    put_all(_fill(machine.top(), dict, "SETITEMS"), values)


def _add_items(machine: Machine) -> None:
    values = machine.since_mark()
    _fill(machine.top(), set, "ADDITEMS").update(map(key_of, values))


def _frozen_set(machine: Machine) -> None:
    machine.push({key_of(value) for value in machine.since_mark()})


def put_all(target: dict[Any, Any], values: list[Any]) -> None:
    """Put key, value, key, value into a dict."""
    if len(values) % 2:
        raise broken("a key has no value")
    for key, value in zip(values[::2], values[1::2], strict=True):
        target[key_of(key)] = value


def key_of(value: Any) -> Any:
    """A key as it is. Raises PackUnsafeError for keys that would be slow or deep to look up."""
    if type(value) is tuple and all(_is_plain(each) for each in value):
        return value
    if not _is_plain(value):
        raise PackUnsafeError(
            f"a key of the kind {shown(type(value).__name__)} that is no plain name or number",
            hint=ONLY_WEIGHTS,
        )
    return value


def _is_plain(value: Any) -> bool:
    if type(value) is int:
        return abs(value) <= LARGEST_KEY
    if type(value) is str:
        return len(value) <= LONGEST_KEY and value.isprintable()
    if type(value) is bytes:
        return len(value) <= LONGEST_KEY
    return value is None or type(value) in (bool, float)


# Memo


def _put(size: int) -> Callable[[Machine], None]:
    return lambda machine: remember(machine, machine.number(size))


def _memoize(machine: Machine) -> None:
    remember(machine, len(machine.memo))


def remember(machine: Machine, slot: int) -> None:
    """Number the topmost object. Writers count from 0 or 1, so a number beyond what came so far is a trap."""
    if slot > len(machine.memo) + 1:
        raise PackUnsafeError(f"memo index {slot} after {len(machine.memo)} objects")
    value = machine.top()
    if isinstance(value, Pending):
        value.slots.append(slot)
    machine.memo[slot] = value


def _get(size: int) -> Callable[[Machine], None]:
    def step(machine: Machine) -> None:
        slot = machine.number(size)
        if slot not in machine.memo:
            raise broken(f"object {slot} is not there")
        machine.push(machine.memo[slot])

    return step


# Globals and what is made of them


def _global(machine: Machine) -> None:
    machine.push(find(machine, _line(machine), _line(machine)))


def _line(machine: Machine) -> str:
    ahead = bytes(machine.data[machine.position : machine.position + LONGEST_NAME + 1])
    end = ahead.find(b"\n")
    if end < 0:
        if machine.position + LONGEST_NAME >= machine.span.size:
            raise PackSourceError("ends early", hint=AGAIN)
        raise PackUnsafeError("a global with an endless name")
    machine.position += end + 1
    return ahead[:end].decode("utf-8", "backslashreplace")


def _stack_global(machine: Machine) -> None:
    name, module = machine.pop(), machine.pop()
    machine.push(find(machine, module, name))


def find(machine: Machine, module: Any, name: Any) -> Any:
    """What stands for a global."""
    for part in (module, name):
        if not isinstance(part, str) or len(part) > LONGEST_NAME or not NAME.fullmatch(part):
            raise PackUnsafeError(f"global {shown(module)}.{shown(name)}", hint=ONLY_WEIGHTS)
    return machine.names.find(module, name)


def _reduce(machine: Machine) -> None:
    machine.names.budget.spend(CALL)
    args, function = machine.pop(), machine.pop()
    machine.push(_made(function, args, "call", "REDUCE"))


def _new(machine: Machine) -> None:
    machine.names.budget.spend(CALL)
    args, kind = machine.pop(), machine.pop()
    machine.push(_made(kind, args, "new", "NEWOBJ"))


def _made(known: Any, args: Any, how: str, opcode: str) -> Any:
    make = getattr(known, how) if isinstance(known, Known) else None
    if make is None:
        raise PackUnsafeError(f"opcode {opcode} on {title_of(known)}", hint=ONLY_WEIGHTS)
    if type(args) is not tuple:
        raise broken(f"{known.title} without arguments")
    _check_count(known, make, args)
    return make(*args)


def _check_count(known: Known, make: Callable[..., Any], args: tuple[Any, ...]) -> None:
    try:
        signature(make).bind(*args)
    except TypeError:
        raise PackUnsafeError(f"global {known.title} with {len(args)} arguments", hint=ONLY_WEIGHTS) from None


def _build(machine: Machine) -> None:
    state, target = machine.pop(), machine.pop()
    machine.push(_built(machine, target, state))


def _built(machine: Machine, target: Any, state: Any) -> Any:
    if isinstance(target, Pending):
        machine.names.budget.spend(len(target.slots))
        value = target.finish(state)
        for slot in target.slots:
            machine.memo[slot] = value
        return value
    if isinstance(target, Stranger) and target.state is None:
        return machine.names.settle(target, state)
    if type(target) is OrderedDict and isinstance(state, dict):
        # State dicts carry the versions of their modules along. No weights depend on them.
        return target
    raise PackUnsafeError(f"opcode BUILD on {title_of(target)}", hint=ONLY_WEIGHTS)


def _persistent(machine: Machine) -> None:
    if machine.persistent is None:
        raise PackUnsafeError("opcode BINPERSID where nothing is stored outside", hint=ONLY_WEIGHTS)
    machine.push(machine.persistent(machine.pop()))


STOP = ord(".")
_NAMED: dict[str, Callable[[Machine], None]] = {
    "FRAME": _frame,
    "NONE": _constant(None),
    "NEWTRUE": _constant(True),
    "NEWFALSE": _constant(False),
    "BININT": _signed,
    "BININT1": _unsigned(1),
    "BININT2": _unsigned(2),
    "LONG1": _long(1),
    "LONG4": _long(4),
    "BINFLOAT": _float,
    "SHORT_BINUNICODE": _text(1),
    "BINUNICODE": _text(4),
    "BINUNICODE8": _text(8),
    # Texts of Python 2; arrays that it saved have their bytes in one.
    "SHORT_BINSTRING": _text(1, "latin-1"),
    "BINSTRING": _text(4, "latin-1"),
    "SHORT_BINBYTES": _bytes(1),
    "BINBYTES": _bytes(4),
    "BINBYTES8": _bytes(8),
    "BYTEARRAY8": _bytes(8),
    "MARK": _mark,
    "EMPTY_TUPLE": _tuple(0),
    "TUPLE1": _tuple(1),
    "TUPLE2": _tuple(2),
    "TUPLE3": _tuple(3),
    "TUPLE": _marked(tuple),
    "EMPTY_LIST": _empty(list),
    "APPEND": _append,
    "APPENDS": _appends,
    "EMPTY_DICT": _empty(dict),
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "EMPTY_SET": _empty(set),
    "ADDITEMS": _add_items,
    "FROZENSET": _frozen_set,
    "BINPUT": _put(1),
    "LONG_BINPUT": _put(4),
    "MEMOIZE": _memoize,
    "BINGET": _get(1),
    "LONG_BINGET": _get(4),
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "NEWOBJ": _new,
    "BUILD": _build,
    "BINPERSID": _persistent,
}
TITLES = {ord(opcode.code): opcode.name for opcode in pickletools.opcodes}
STEPS = [_NAMED.get(TITLES.get(code, "")) for code in range(256)]
