"""Under which terms the parts of a pack came, and what follows for what is made with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from stit_vfx.job import Job
from stit_vfx.packs.schema import PackSpec

Commercial = Literal["yes", "no", "unknown"]
# From free to strict: a whole is no freer than its strictest part.
STRICTNESS: tuple[Commercial, ...] = ("yes", "unknown", "no")
NETWORKS = (
    *("generator", "encoder", "shape", "reader", "parser", "perceptual", "identity", "text"),
    "style_basis",
)
# Nothing in a run asks the identity network who a face is; these two serve text edits alone.
_IDLE, _FOR_TEXTS = "identity", ("text", "style_basis")


@dataclass(frozen=True)
class PartTerms:
    """One part of a pack: its file, and the terms it came under, which are the pack's where it has no own.

    `source_sha256` is of the file as it was brought; `used`: whether a run with the job computes with it.
    """

    file: str
    sha256: str
    licence: str
    commercial_use: Commercial
    source: str = ""
    source_sha256: str | None = None
    used: bool = True

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def parts_of(spec: PackSpec, job: Job | None = None) -> dict[str, PartTerms]:
    """Every network of a pack by name, and as `directions.NAME` the directions a job uses (None: all)."""
    texts = job is None or any(edit.text is not None for edit in job.edits)
    wanted = None if job is None else {edit.direction for edit in job.edits}
    found = {}
    for name in NETWORKS:
        if (part := getattr(spec, name)) is not None:
            used = name != _IDLE and (texts or name not in _FOR_TEXTS)
            found[name] = _terms(spec, name, part.file, used=used)
    for name, each in spec.directions.items():
        if each.file is not None and (wanted is None or name in wanted):
            found[f"directions.{name}"] = _terms(spec, f"directions.{name}", each.file, used=True)
    return found


def _terms(spec: PackSpec, name: str, file: str, *, used: bool) -> PartTerms:
    own = spec.licences.get(name)
    if own is None:
        return PartTerms(file, spec.sha256[file], spec.licence, spec.commercial_use, used=used)
    source = own.source, own.source_sha256
    return PartTerms(file, spec.sha256[file], own.licence, own.commercial_use, *source, used=used)


def strictest(uses: Iterable[Commercial]) -> Commercial:
    """What holds for a whole; `unknown` of nothing."""
    return max(uses, key=STRICTNESS.index, default="unknown")


def terms_used(spec: PackSpec, job: Job) -> tuple[str, Commercial]:
    """Licence and commercial use of what a job makes with a pack: those of the strictest parts it uses."""
    used = [each for each in parts_of(spec, job).values() if each.used]
    use = strictest(each.commercial_use for each in used)
    return "; ".join(dict.fromkeys(e.licence for e in used if e.commercial_use == use)), use


def not_free(spec: PackSpec, job: Job) -> str:
    """One line that names the parts not known to be free for commercial use; empty if all are free."""
    parts = {name: each.commercial_use for name, each in parts_of(spec, job).items()}
    odd = {name: use for name, use in parts.items() if use != "yes"}
    if not odd:
        return ""
    told = "all parts" if odd.keys() == parts.keys() and len(set(odd.values())) == 1 else _listed(odd)
    use = f": {next(iter(odd.values()))}" if told == "all parts" else ""
    return f"not known to be free for commercial use in pack {spec.name}: {told}{use}"


def _listed(parts: Mapping[str, Commercial]) -> str:
    by_use = {use: [name for name, own in parts.items() if own == use] for use in reversed(STRICTNESS)}
    return "; ".join(f"{', '.join(names)} ({use})" for use, names in by_use.items() if names)
