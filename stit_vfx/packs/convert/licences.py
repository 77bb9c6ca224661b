"""The terms of each kind of file, as far as we know; and what the user knows better.

Code and weights are not the same: free code often comes with weights that were trained on pictures which may
not be used commercially. The entries speak of the published weights. Weights of one's own go by `--licence`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from stit_vfx.errors import PackLicenceError
from stit_vfx.packs.convert.part import Part

Commercial = Literal["yes", "no", "unknown"]
# From free to strict: a pack is no freer than its strictest part.
STRICTNESS: tuple[Commercial, ...] = ("yes", "unknown", "no")
ALL = "all"
HEARSAY = "as far as we know: "


@dataclass(frozen=True)
class Terms:
    """`licence` in a line, and whether it lets one work for money."""

    licence: str
    commercial_use: Commercial


_FFHQ = "FFHQ pictures CC BY-NC-SA 4.0"
KNOWN: Mapping[str, Terms] = {
    "stylegan2-nvidia": Terms(f"NVIDIA Source Code License, non-commercial; {_FFHQ}", "no"),
    "stylegan2-rosinality": Terms(
        f"code MIT; published weights from {_FFHQ}, converted ones NVIDIA non-commercial", "no"
    ),
    "stylegan2-tuned": Terms(
        f"as the generator it was tuned from: NVIDIA Source Code License, non-commercial; {_FFHQ}", "no"
    ),
    "e4e": Terms(f"code MIT; weights trained on {_FFHQ}", "no"),
    "psp": Terms(f"code MIT; weights trained on {_FFHQ}", "no"),
    "e4e-decoder": Terms(f"NVIDIA non-commercial, with e4e; {_FFHQ}", "no"),
    "psp-decoder": Terms(f"NVIDIA non-commercial, with pSp; {_FFHQ}", "no"),
    "bisenet": Terms("code MIT; trained on CelebAMask-HQ, non-commercial research only", "no"),
    "arcface": Terms("InsightFace data and weights: non-commercial research only", "no"),
    "lpips": Terms("BSD-2-Clause", "yes"),
    "lpips-whole": Terms(
        "LPIPS BSD-2-Clause; AlexNet from torchvision BSD-3-Clause, ImageNet terms", "unknown"
    ),
    "alexnet": Terms(
        "torchvision BSD-3-Clause; trained on ImageNet, whose terms are for research", "unknown"
    ),
    "direction": Terms("published InterFaceGAN and STIT directions: credited as CC BY-NC 4.0", "no"),
    "transformer": Terms("not known; the published ones learned from CelebA, non-commercial", "unknown"),
    "fs3": Terms(f"StyleCLIP MIT; measured on the {_FFHQ} generator", "unknown"),
    "s-mean-std": Terms(f"StyleCLIP MIT; measured on the {_FFHQ} generator", "unknown"),
    "clip": Terms("OpenAI CLIP MIT; its model card advises against deployment", "yes"),
    "fan": Terms("face-alignment BSD-3-Clause; trained on 300W-LP, non-commercial pictures", "unknown"),
}


@dataclass(frozen=True)
class Statement:
    """One line of the table that is shown before anything is written. `file`: a file's name."""

    part: str
    what: str
    licence: str
    commercial_use: Commercial
    file: str
    sha256: str

    def to_json(self) -> dict[str, str]:
        return dict(vars(self))


def overrides(values: Sequence[str], parts: Iterable[str], *, option: str) -> dict[str, str]:
    """`PART=VALUE`, or VALUE for all, as a mapping. `directions` stands for all of them.

    Raises PackLicenceError for a part that the files do not have.
    """
    known = {name for part in parts for name in (part, part.partition(".")[0])}
    found = {}
    for value in values:
        name, equals, rest = value.partition("=")
        # An equals sign inside a licence's own words does not make a part of what is before it.
        named = bool(equals) and (name in known or " " not in name)
        part, said = (name, rest) if named else (ALL, value)
        if part not in known | {ALL}:
            hint = f"There is {', '.join(sorted(known))}"
            raise PackLicenceError(f"{option} {value}: no part is named {part}", hint=hint)
        found[part] = said.strip()
    return found


def statements(
    parts: Sequence[Part], *, licence: Mapping[str, str], commercial: Mapping[str, str]
) -> list[Statement]:
    """The table: what is known of each part, or what the user says instead."""
    return [_statement(part, licence, commercial) for part in parts]


def _statement(part: Part, licence: Mapping[str, str], commercial: Mapping[str, str]) -> Statement:
    known = KNOWN[part.kind]
    own = _said(part, licence)
    use = _said(part, commercial)
    if use is not None and use not in get_args(Commercial):
        raise PackLicenceError(f"--commercial {use}: is none of yes, no, unknown")
    # Who brings other terms is asked for commercial use too: what we know is of the published file.
    fallback = known.commercial_use if own is None else "unknown"
    return Statement(
        part.section,
        part.what,
        own or HEARSAY + known.licence,
        cast(Commercial, use or fallback),
        part.source.name,
        part.sha256,
    )


def _said(part: Part, said: Mapping[str, str]) -> str | None:
    names = (part.name, part.section, part.section.partition(".")[0], ALL)
    return next((said[name] for name in names if said.get(name)), None)


def strictest(rows: Iterable[tuple[str, str]]) -> Terms:
    """The terms of a whole, from (licence, commercial use) of its parts: those of its strictest parts."""
    rows = list(rows)
    use = max((STRICTNESS.index(commercial) for _, commercial in rows), default=1)
    lines = [licence for licence, commercial in rows if commercial == STRICTNESS[use]]
    return Terms(joined(lines), STRICTNESS[use])


def joined(lines: Iterable[str]) -> str:
    """Several licences in a line, each once; what we only know from hearsay comes last."""
    lines = list(dict.fromkeys(lines))
    said = [line for line in lines if not line.startswith(HEARSAY)]
    heard = [line.removeprefix(HEARSAY) for line in lines if line.startswith(HEARSAY)]
    return "; ".join([*said, *([HEARSAY + "; ".join(heard)] if heard else [])])


def as_table(rows: Sequence[Statement]) -> str:
    """For people, one block of two lines for each part."""
    width = max((len(row.part) for row in rows), default=0)
    lines = []
    for row in rows:
        lines.append(f"{row.part:<{width}}  {row.what}  <- {row.file}")
        lines.append(f"{'':<{width}}  {row.licence}; commercial use: {row.commercial_use}")
        lines.append(f"{'':<{width}}  sha256 {row.sha256}")
    return "\n".join(lines)


def require(accepted: bool, rows: Sequence[Statement]) -> None:
    """Raise PackLicenceError unless the terms were accepted."""
    if not accepted:
        strict = strictest((row.licence, row.commercial_use) for row in rows)
        raise PackLicenceError(
            f"the terms of the files were not accepted ({strict.licence})",
            hint="Read them above, and say --accept-licence, or answer y on a terminal",
        )


def to_json(rows: Sequence[Statement]) -> list[dict[str, Any]]:
    return [row.to_json() for row in rows]
