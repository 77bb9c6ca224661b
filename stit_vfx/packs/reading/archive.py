"""Zip archives, as torch and numpy write them: where each member lies, without unpacking anything."""

from __future__ import annotations

import struct
import zipfile
import zlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from stit_vfx.errors import PackSourceError, PackUnsafeError
from stit_vfx.packs.reading.values import AGAIN, Span

LOCAL = struct.Struct("<4s5H3I2H")
LOCAL_SIGNATURE = b"PK\x03\x04"
ELSEWHERE = 0xFFFFFFFF  # the size is in another record
LATER = 0x08  # a flag: the size is behind the data
ENCRYPTED = 0x01
# Deflate cannot do more; what says so lies.
MOST_SQUEEZED = 1032
LARGEST_MEMBER = 1 << 32
# What zipfile raises for damaged directories.
DAMAGED = (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError, OverflowError, EOFError)


@dataclass(frozen=True, eq=False)
class Member:
    """One file of an archive: its bytes as they are stored, and what they should come to."""

    name: str
    stored: Span
    size: int
    crc: int
    method: int

    def plain(self) -> Span:
        """The bytes, where the archive keeps them as they are. Raises PackSourceError if it packs them."""
        if self.method != zipfile.ZIP_STORED:
            problem = f"{self.name} is compressed in the archive"
            raise PackSourceError(problem, hint="Save the file again as its maker's program does")
        return self.stored

    def checked(self) -> Span:
        """The same, if they are what the checksum says."""
        span = self.plain()
        if zlib.crc32(span.view()) != self.crc:
            raise PackSourceError(f"is damaged: {self.name} is not what its checksum says", hint=AGAIN)
        return span

    def unpacked(self) -> Span:
        """The bytes, unpacked in memory if need be; never more than the archive announces."""
        if self.method == zipfile.ZIP_STORED:
            return self.checked()
        if self.size > min(LARGEST_MEMBER, MOST_SQUEEZED * self.stored.size):
            raise PackUnsafeError(f"{self.name} claims to unpack to {self.size} bytes")
        try:
            unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
            data = unpacker.decompress(self.stored.view(), self.size + 1)
        except zlib.error:
            raise PackSourceError(f"is damaged: {self.name} does not unpack", hint=AGAIN) from None
        if len(data) != self.size or zlib.crc32(data) != self.crc:
            raise PackUnsafeError(f"{self.name} does not unpack to the {self.size} bytes that are announced")
        return Span.of(data)


def read_archive(path: Path, whole: Span) -> dict[str, Member]:
    """The members by name. Raises PackUnsafeError for directories that lie, PackSourceError for damage."""
    members: dict[str, Member] = {}
    for info in _directory(path):
        if info.filename in members:
            raise PackUnsafeError(f"an archive with two members named {ascii(info.filename)[:80]}")
        _check_name(info)
        if not info.is_dir():
            members[info.filename] = _member(info, whole)
    _check_apart(list(members.values()))
    return members


def _directory(path: Path) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()
    except DAMAGED:
        raise PackSourceError("is an archive that is damaged or not whole", hint=AGAIN) from None


def _check_name(info: zipfile.ZipInfo) -> None:
    """No name may lead out of the archive. Nothing is unpacked to disk, but other programs will try."""
    parts = info.filename.rstrip("/").split("/")
    wrong = "\\" in info.filename or ":" in info.filename or info.orig_filename != info.filename
    if wrong or any(part in ("", ".", "..") for part in parts) or not info.filename.isprintable():
        raise PackUnsafeError(f"an archive with a member named {ascii(info.orig_filename)[:80]}")


def _member(info: zipfile.ZipInfo, whole: Span) -> Member:
    name = info.filename
    if info.flag_bits & ENCRYPTED or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise PackSourceError(f"{name} is encrypted, or packed in a way that is not read")
    if info.compress_type == zipfile.ZIP_STORED and info.compress_size != info.file_size:
        raise PackUnsafeError(f"{name} has {info.compress_size} bytes and announces {info.file_size}")
    start = _check_header(info, whole)
    stored = whole.part(start, info.compress_size)
    return Member(name, stored, info.file_size, info.CRC, info.compress_type)


def _check_header(info: zipfile.ZipInfo, whole: Span) -> int:
    """Where the data begins; the header before it must agree with the directory."""
    header = LOCAL.unpack(whole.part(info.header_offset, LOCAL.size).view())
    signature, _version, flags, method, _time, _date, crc, packed, size, name_length, extra = header
    name = bytes(whole.part(info.header_offset + LOCAL.size, name_length).view())
    agrees = signature == LOCAL_SIGNATURE and method == info.compress_type
    agrees &= name == info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437", "replace")
    if not flags & LATER:
        agrees &= crc == info.CRC
        agrees &= packed in (info.compress_size, ELSEWHERE) and size in (info.file_size, ELSEWHERE)
    if not agrees:
        raise PackUnsafeError(
            f"{ascii(info.filename)[:80]} is not what the archive's directory says", hint=AGAIN
        )
    return info.header_offset + LOCAL.size + name_length + extra


def _check_apart(members: list[Member]) -> None:
    ordered = sorted(members, key=lambda member: (member.stored.start, member.stored.size))
    for before, after in pairwise(ordered):
        if before.stored.start + before.stored.size > after.stored.start:
            raise PackUnsafeError(f"an archive whose members {before.name} and {after.name} overlap")
