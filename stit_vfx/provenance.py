"""What was done to which plate, by what: a record beside every version, and attributes in every frame.

It says what was done; it does not prevent misuse, and anyone can strip it. No personal data is asked for:
`consent` is production's own reference. STIT_NO_USER=1 leaves the names of user and machine out.
"""

from __future__ import annotations

import getpass
import os
import platform
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stit_vfx._version import __version__
from stit_vfx.atomic import host_name
from stit_vfx.cache import STEP_REVISION, write_json
from stit_vfx.packs.terms import parts_of, terms_used

if TYPE_CHECKING:
    from pathlib import Path

    from stit_vfx.job import Job
    from stit_vfx.packs.schema import PackSpec
    from stit_vfx.shot import Version

SCHEMA = "stit.provenance/1"
# IPTC: captured footage that was changed by a trained model.
DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"


def exr_attributes(job: Job, version_name: str, frame: int, *, pack: PackSpec) -> dict[str, str]:
    """String attributes for a composited frame, functions of job and pack: no time, user or machine.

    Licence and commercial use are those of the strictest parts of the pack that the job uses.
    """
    licence, commercial_use = terms_used(pack, job)
    return {
        "stit/version": f"stit_vfx {__version__}",
        "stit/shot": f"{job.shot} {version_name}",
        "stit/job_sha256": job.sha256,
        "stit/digitalSourceType": DIGITAL_SOURCE_TYPE,
        "stit/consentRef": job.consent,
        "stit/edit": edit_text(job, frame),
        "stit/pack": pack.name,
        "stit/licence": licence,
        "stit/commercialUse": commercial_use,
    }


def pack_record(pack: PackSpec, job: Job) -> dict[str, Any]:
    """What a record says of a pack: the terms of the whole, and of each part with the sums of its files."""
    parts = {name: part.as_dict() for name, part in parts_of(pack, job).items()}
    whole = {"licence": pack.licence, "commercial_use": pack.commercial_use, "notice": pack.notice}
    return {"sha256": dict(pack.sha256), **whole, "parts": parts}


def edit_text(job: Job, frame: int) -> str:
    """`smile=0.6 age=-0.25`: the edits as they are on a frame."""
    strengths = zip(job.edits, job.strengths_at(frame), strict=True)
    return " ".join(f"{edit.name}={strength:g}" for edit, strength in strengths)


def build_record(
    version: Version,
    job: Job,
    *,
    models: Mapping[str, Mapping[str, Any]],
    plate: Mapping[int, str],
    colour: Mapping[str, Any],
    device: str,
    measured: Mapping[str, Any] | None = None,
    texts: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The record of a version, from the records of its frames.

    models  {name: {"licence": ..., "commercial_use": ...}} of packs (see `pack_record`) and face finders
    plate   sha256 of each frame of the plate
    colour  the working space and why it was taken
    texts   what each text edit moves
    """
    frames = version.records()
    outcomes = {
        outcome: [frame for frame, record in frames.items() if record["outcome"] == outcome]
        for outcome in ("edited", "untouched", "failed")
    }
    return {
        "schema": SCHEMA,
        "tool": f"stit_vfx {__version__}",
        "step_revisions": STEP_REVISION,
        "shot": job.shot,
        "version": version.name,
        "job_sha256": job.sha256,
        "digitalSourceType": DIGITAL_SOURCE_TYPE,
        "consent_ref": job.consent or None,
        "edits": job.to_data()["edits"],
        "texts": [dict(text) for text in texts],
        "models": {name: dict(model) for name, model in models.items()},
        "colour": dict(colour),
        "plate": {"name": job.plate, "sha256": {str(frame): digest for frame, digest in plate.items()}},
        "frames": outcomes,
        "outputs": {
            str(frame): {kind: file["sha256"] for kind, file in record["files"].items()}
            for frame, record in frames.items()
        },
        "measured": dict(measured or {}),
        "made_on": {"device": device, "system": platform.system(), "machine": platform.machine(), **who()},
    }


def who() -> dict[str, str]:
    """User and machine; empty with STIT_NO_USER=1."""
    if os.environ.get("STIT_NO_USER"):
        return {}
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container without a passwd entry
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return {"user": user, "host": host_name()}


def write_record(version: Version, record: Mapping[str, Any]) -> Path:
    """Write provenance.json of a version."""
    write_json(version.provenance_path, record)
    return version.provenance_path
