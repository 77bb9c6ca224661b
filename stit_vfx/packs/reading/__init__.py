"""Reads model files that others made, safely. The only code here that touches pickles.

A pickle is a program, and a model file from the web is one by someone unknown. Nothing in a file is run: no
import, no call, no source text. What is no tensor, array or plain setting is refused with its name.

    read_model_file(path) -> ModelFile    pickles (NVIDIA's, TensorFlow-era, numpy's), torch files old and
                                          new, TorchScript archives, safetensors, .npy and .npz
    module_tensors(stranger)              the tensors of a pickled module, by dotted name
    state_of(mapping)                     the tensors of a mapping

Tensors stay in the file until `StoredTensor.read`, so a file of gigabytes costs little memory. The file must
not change meanwhile.
"""

from __future__ import annotations

from stit_vfx.packs.reading.files import read_model_file
from stit_vfx.packs.reading.values import (
    Container,
    ModelFile,
    StoredTensor,
    Stranger,
    module_tensors,
    state_of,
)

__all__ = [
    "Container",
    "ModelFile",
    "StoredTensor",
    "Stranger",
    "module_tensors",
    "read_model_file",
    "state_of",
]
