"""Real faces that may be used for anything: portraits by governments, in the public domain, from PyPI.

None of them is in this project. What is fetched is compared with the sums below.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

Array = np.ndarray

_WHITE_HOUSE = "official portrait, work of the US government, public domain"
_TESTS = "face_recognition-1.3.0/tests/test_images"
_SPEECH = "Obama's speech to a joint session, White House photograph, public domain"


@dataclass(frozen=True)
class Source:
    """A picture in a package on PyPI. `sha256` is the picture's."""

    package: str
    member: str
    sha256: str
    credit: str


@dataclass(frozen=True)
class Portrait:
    """`image8` (H, W, 3) uint8 sRGB."""

    name: str
    image8: Array
    credit: str


SOURCES = {
    "smiling": Source(
        "face_recognition==1.3.0",
        f"{_TESTS}/obama.jpg",
        "0930e3aa8cae5920329c0c8cbc6a2ab70f47b0e67b432875beaa95cbf7e741f6",
        _WHITE_HOUSE,
    ),
    "speaking": Source(
        "face_recognition==1.3.0",
        f"{_TESTS}/obama2.jpg",
        "a7efcc907375274796f39646510704aa86672d59f6d5469d69af3c85590976a6",
        _SPEECH,
    ),
    "dim": Source(
        "face_recognition==1.3.0",
        f"{_TESTS}/obama3.jpg",
        "76ac6bf97c36dc2da0ad16a537d6a5ac1b10f48d49aac29a0cca9a17cdbc3ca3",
        _WHITE_HOUSE,
    ),
    "closed": Source(
        "face_recognition==1.3.0",
        f"{_TESTS}/biden.jpg",
        "3c17508bb91554c637a2eabddfae790e5bb1caba93130814fc2ac50be9760c4c",
        _WHITE_HOUSE,
    ),
    "glasses": Source(
        "matplotlib==3.10.0",
        "matplotlib/mpl-data/sample_data/grace_hopper.jpg",
        "a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130",
        "Grace Hopper, US Navy, public domain",
    ),
}
NAMES = ("astronaut", *SOURCES)


def portrait(name: str, cache: Path) -> Portrait:
    """One of `NAMES`. Raises RuntimeError where it cannot be had or is not what it was."""
    if name == "astronaut":
        from skimage import data

        return Portrait(name, data.astronaut(), "Eileen Collins, NASA, public domain (scikit-image)")
    source = SOURCES[name]
    path = cache / f"{name}.jpg"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_fetched(source, cache / "packages"))
    if hashlib.sha256(path.read_bytes()).hexdigest() != source.sha256:
        raise RuntimeError(f"{path} is not the picture that was measured; delete it and run again")
    return Portrait(name, cv2.imread(str(path))[..., ::-1].copy(), source.credit)


def _fetched(source: Source, folder: Path) -> bytes:
    """The picture's bytes out of its package."""
    project = source.package.partition("==")[0]
    if not any(folder.glob(f"{project}-*")):
        kind = ["--no-binary", ":all:"] if project == "face_recognition" else ["--only-binary", ":all:"]
        words = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *kind]
        subprocess.run([*words, "--dest", str(folder), source.package], check=True)
    path = next(folder.glob(f"{project}-*"))
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            return archive.read(source.member)
    with tarfile.open(path) as archive:
        member = archive.extractfile(source.member)
        if member is None:
            raise RuntimeError(f"{path} has no {source.member}")
        return member.read()
