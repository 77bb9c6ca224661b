"""`stit directions`: directions of one's own, from samples to a pack."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stit_vfx.cli.common import EXISTING, FOLDER, engine_options, run_options, show, start, stream_options
from stit_vfx.errors import JobError, JobFieldError

if TYPE_CHECKING:
    from stit_vfx.face.detect import FaceFinder
    from stit_vfx.learning.labels import Target
    from stit_vfx.learning.learn import Learned
    from stit_vfx.learning.samples import Samples
    from stit_vfx.learning.sheet import Shown
    from stit_vfx.packs.load import Pack

_pack = click.option("--pack", "pack_name", default="builtin", help="Model pack: a name or a folder.")


@click.group(short_help="Learn directions of your own, and look at them.")
def command() -> None:
    """Directions of your own: make samples, label them, learn a direction, look at it. docs/directions.md."""


@command.command("sample")
@_pack
@click.option("--count", type=click.IntRange(1, 9999), default=200, show_default=True, help="Faces at most.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.option(
    "--truncation",
    type=click.FloatRange(0, 1),
    default=0.7,
    show_default=True,
    help="1: all that it can draw.",
)
@click.option("--images", help="Encode these instead: a folder of pictures, a plate's pattern, a movie.")
@click.option("--colourspace", "--colorspace", help="The pictures' colour space, if they do not say.")
@click.option(
    "--column", "columns", multiple=True, help="Empty column of the table (default: label). Repeatable."
)
@click.option("--out", type=FOLDER, required=True, help="Folder that gets the samples.")
@engine_options
@stream_options
def sample_(pack_name: str, out: Path, **words: Any) -> int:
    """Make samples: pictures of faces with their codes, and a table labels.csv to fill in.

    Stopped, it goes on where it was; with a larger --count it adds samples. The table is never written over.
    """
    session = start(words, job=str(out))
    session.reporter.plan({"sample": 1.0})

    from stit_vfx.learning.drawing import Sampling, draw_samples

    wish = Sampling(
        **{name: words[name] for name in ("count", "seed", "truncation", "images", "colourspace", "ocio")},
        columns=words["columns"] or ("label",),
    )
    samples = draw_samples(
        _open(pack_name, words), out, wish, finder=_finder, reporter=session.reporter, cancel=session.cancel
    )
    without = len(samples.record["without_face"])
    notes = [f"{len(samples.files)} samples" + (f"; no face in {without} pictures" if without else "")]
    kinds = {"labels": "labels.csv", "sheet": "contact_sheet.png", "samples": "samples.safetensors"}
    outputs = [{"kind": kind, "path": str(out / file)} for kind, file in kinds.items()]
    session.reporter.result(outputs, notes=notes)
    return 0


@command.command("learn")
@click.argument("name")
@_pack
@click.option("--samples", "folder", type=FOLDER, required=True, help="Folder that `sample` made.")
@click.option("--labels", metavar="FILE.csv:COLUMN", help="What a person wrote of each picture.")
@click.option(
    "--positive", metavar="WORD", help="The word in the column that is more, if it is not yes or 1."
)
@click.option("--measure", help="Instead: smile, mouth_open, eyes, brows, yaw and others, from landmarks.")
@click.option(
    "--method", type=click.Choice(["svm", "regression", "transformer"]), help="Default: by the labels."
)
@click.option("--space", type=click.Choice(["w", "w+", "style"]), default="w", show_default=True)
@click.option("--orthogonal-to", "orthogonal", multiple=True, metavar="NAME", help="Repeatable.")
@click.option(
    "--keep", multiple=True, metavar="COLUMN", help="Transformers: also labelled, shall stay. Repeatable."
)
@click.option("--layers", help="Only these rows of w, such as 0-7 or 2,3.")
@click.option(
    "--along",
    type=click.Choice(["normal", "samples"]),
    default="normal",
    show_default=True,
    help="The shortest way over the boundary, or the way that the samples go.",
)
@click.option(
    "--channels", type=click.IntRange(1), default=64, show_default=True, help="Style channels kept."
)
@click.option("--rank", type=click.IntRange(1), help="Transformers: rank of the matrix.")
@click.option(
    "--deviations",
    type=click.FloatRange(0.1, 10),
    default=2.0,
    show_default=True,
    help="Standard deviations of the samples that strength 1 moves.",
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.option("--title", default="", help="What the panel calls it.")
@click.option("--licence", "--license", help="Terms of the direction (default: user's own).")
@click.option(
    "--commercial", type=click.Choice(["yes", "no", "unknown"]), default="unknown", show_default=True
)
@click.option("--save-to", metavar="PACK", help="A pack of your own that gets the direction.")
@click.option("--new-pack", metavar="NAME", help="Save to a copy of the pack: a name or a folder.")
@click.option("--replace", is_flag=True, help="Replace a direction of this name.")
@click.option("--json", "as_json", is_flag=True, help="Print what is known of the direction as JSON.")
@engine_options
@stream_options
def learn_(name: str, pack_name: str, folder: Path, **words: Any) -> int:
    """Learn the direction NAME from samples, say how well it separates them, and save it.

    \b
    stit directions learn hat --pack mine --samples faces --labels faces/labels.csv:hat --save-to mine
    stit directions learn grin --pack mine --samples faces --measure smile --new-pack mine2

    Without --save-to or --new-pack nothing is saved.
    """
    session = start(words, job=name)
    session.reporter.plan({**({"measure": 4.0} if words["measure"] else {}), "learn": 1.0})

    from stit_vfx.learning.learn import learn
    from stit_vfx.learning.samples import read_samples

    _check_words(name, pack_name, words)
    pack = _open(pack_name, words)
    samples = read_samples(folder, pack=pack)

    def progress(step: str) -> Callable[[int, int], None]:
        def told(done: int, total: int) -> None:
            session.reporter.progress(step, done, total)
            session.cancel.check()

        return told

    target, keep = _targets(samples, words, progress("measure"))
    ruler = _ruler(pack, samples, target, progress("measure"))
    learned = learn(
        pack, samples, target, _wish(name, words), keep=keep, ruler=ruler, progress=progress("learn")
    )
    for warning in learned.warnings:
        session.reporter.log("warning", warning)
    saved = _save(pack, learned, words)
    measured = {"direction": name, "scale": learned.direction.scale, **learned.measured}
    if saved is not None:
        session.reporter.result([{"kind": "pack", "path": str(saved)}], measured=measured)
    show(
        {**measured, "saved": None if saved is None else str(saved)},
        _as_text(learned),
        as_json=words["as_json"],
    )
    return 0


@command.command("preview")
@click.argument("names", nargs=-1, required=True)
@_pack
@click.option("--samples", "folder", type=FOLDER, help="Show faces of a folder that `sample` made.")
@click.option("--count", type=click.IntRange(1, 64), default=4, show_default=True, help="Faces to show.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.option("--image", "images", multiple=True, type=EXISTING, help="A picture with a face. Repeatable.")
@click.option("--strengths", help="Such as -1,0,1 (default: five within the direction's range).")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The sheet, PNG.")
@engine_options
@stream_options
def preview_(names: tuple[str, ...], pack_name: str, out: Path, **words: Any) -> int:
    """Write a sheet of directions: strengths in columns, faces in rows.

    Plain packs show their own faces, or those of --samples. With --image, and always with packs that know the
    face's geometry, pictures of faces are edited as `stit preview` does it, which takes longer.
    """
    session = start(words, job=str(out))
    session.reporter.plan({"preview": 1.0})

    from stit_vfx.learning.sheet import preview_sheet

    pack = _open(pack_name, words)
    sheet = preview_sheet(
        pack,
        list(dict.fromkeys(names)),
        _faces(pack, words),
        out,
        strengths=_strengths(words["strengths"]),
        reporter=session.reporter,
        options=run_options(words),
    )
    session.reporter.result([{"kind": "sheet", "path": str(sheet)}])
    return 0


def _open(name: str, words: dict[str, Any]) -> Pack:
    from stit_vfx.bench import choose_device
    from stit_vfx.packs.load import load_pack

    options = run_options(words)
    return load_pack(name, device=choose_device(options), search=options.pack_path)


def _finder() -> FaceFinder:
    from stit_vfx.face.detect import make_finder

    return make_finder("auto")


# learn ------------------------------------------------------------------------------------------------------


def _check_words(name: str, pack_name: str, words: dict[str, Any]) -> None:
    """Refuse what cannot end well before anything is measured or learned."""
    from stit_vfx.learning.saving import new_pack_folder, parse_name, refuse_installed
    from stit_vfx.packs.registry import find_pack

    try:
        parse_name(name)
    except ValueError:
        raise JobFieldError(
            f"NAME: {name!r} is no name for a direction", hint="Letters, digits, dot, dash and underscore"
        ) from None
    if bool(words["labels"]) == bool(words["measure"]):
        raise JobError("needs either --labels or --measure", hint="For example --measure smile")
    if words["keep"] and words["method"] != "transformer":
        raise JobFieldError(
            "--keep: only transformers keep labels", hint="Use --orthogonal-to with directions"
        )
    if words["save_to"] and words["new_pack"]:
        raise JobError("needs either --save-to or --new-pack, not both")
    if words["save_to"]:
        refuse_installed(find_pack(words["save_to"], search=words["pack_path"]))
    if words["new_pack"]:
        new_pack_folder(words["new_pack"])


def _wish(name: str, words: dict[str, Any]) -> Any:
    from stit_vfx.learning.learn import Wish
    from stit_vfx.plate.sequence import parse_frames

    same = ("method", "space", "along", "channels", "deviations", "rank", "seed", "title")
    layers = None if words["layers"] is None else parse_frames(words["layers"])
    if layers and layers[0] < 0:
        raise JobFieldError(f"--layers: {words['layers']} goes below 0", hint="For example --layers 0-7")
    return Wish(
        name=name,
        layers=layers,
        orthogonal_to=tuple(dict.fromkeys(words["orthogonal"])),
        **{word: words[word] for word in same},
    )


def _targets(
    samples: Samples, words: dict[str, Any], progress: Callable[[int, int], None]
) -> tuple[Target, list[Target]]:
    """What to learn, and what shall stay: columns of the table, or measures."""
    from stit_vfx.learning.labels import read_column
    from stit_vfx.learning.samples import LABELS

    table, column = samples.folder / LABELS, None
    if words["labels"]:
        file, colon, column = words["labels"].rpartition(":")
        if not colon or not file or not column:
            raise JobFieldError(
                f"--labels {words['labels']}: is not FILE:COLUMN",
                hint="For example --labels labels.csv:glasses",
            )
        table = Path(file)
    if column is not None:
        target = read_column(table, column, samples.files, positive=words["positive"])
    else:
        target = _measured(samples, words["measure"], progress)
    return target, [_kept(samples, table, word, progress) for word in words["keep"]]


def _kept(samples: Samples, table: Path, word: str, progress: Callable[[int, int], None]) -> Target:
    """A column of the table if it has one of this name, else a measure."""
    from stit_vfx.learning.labels import read_column, read_table
    from stit_vfx.learning.measures import MEASURES

    if word in MEASURES and not (table.exists() and word in read_table(table).columns):
        return _measured(samples, word, progress)
    return read_column(table, word, samples.files)


def _measured(samples: Samples, name: str, progress: Callable[[int, int], None]) -> Target:
    from difflib import get_close_matches

    from stit_vfx.learning.measures import MEASURES, measured_target

    if name not in MEASURES:
        close = get_close_matches(name, MEASURES, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"There is {', '.join(MEASURES)}"
        raise JobFieldError(f"--measure {name}: is not known", hint=hint)
    return measured_target(samples, name, _finder() if samples.landmarks is None else None, progress=progress)


def _ruler(pack: Pack, samples: Samples, target: Target, progress: Callable[[int, int], None]) -> Any:
    """What measures rendered faces; None for labels that only a person can tell."""
    from stit_vfx.gan.stylegan2 import Generator
    from stit_vfx.learning.measures import sample_landmarks
    from stit_vfx.learning.ruler import Ruler

    if target.source != "measured" or not isinstance(pack.model.network, Generator):
        return None
    finder = _finder()
    return Ruler(pack.model, samples.ws, sample_landmarks(samples, finder, progress=progress), finder)


def _save(pack: Pack, learned: Learned, words: dict[str, Any]) -> Path | None:
    from stit_vfx.learning.samples import made_with
    from stit_vfx.learning.saving import OWN, Terms, new_pack_folder, save_as_new_pack, save_direction
    from stit_vfx.packs.registry import find_pack
    from stit_vfx.packs.schema import read_spec

    terms = Terms(words["licence"] or OWN, words["commercial"])
    if words["new_pack"]:
        target = new_pack_folder(words["new_pack"])
        return save_as_new_pack(pack.folder, target, learned, terms=terms, replace=words["replace"])
    if words["save_to"]:
        folder = find_pack(words["save_to"], search=words["pack_path"])
        theirs = read_spec(folder)
        if theirs.sha256[theirs.generator.file] != made_with(pack)["generator"]:
            raise JobError(
                f"--save-to {words['save_to']}: has another generator than {pack.name}", where=folder
            )
        return save_direction(folder, learned, terms=terms, replace=words["replace"])
    return None


_TOLD = (
    ("roc_auc", "ROC AUC", "held-out samples; 0.5 is chance, 1 is perfect"),
    ("balanced_accuracy", "balanced accuracy", "held-out samples; 0.5 is chance"),
    ("r2", "R2", "held-out samples; share of the label's spread that is explained"),
    ("rank_correlation", "rank correlation", "held-out samples"),
    ("held_out_success_at_alpha_1", "success", "held-out samples that end on the side they were sent to"),
)


def _as_text(learned: Learned) -> str:
    told, direction = learned.measured, learned.direction
    low, high = direction.range
    lines = [
        f"{direction.name}: {told['method']} in {direction.space}, {told['samples']} samples,"
        f" {told['left_out']} left out",
        *(f"  {word:18} {told[key]:8.3f}   {meaning}" for key, word, meaning in _TOLD if key in told),
        f"  {'strength 1':18} {told['strength_1_moves_sd']:8.3g}   standard deviations;"
        f" range {low:g} to {high:g}",
    ]
    for key, words in (
        ("moved_sd_when_rendered", "strength 1, measured on rendered faces"),
        ("moved_sd_at_strength_1", "strength 1, judged on held-out samples"),
        ("cosines", "cosine to other directions"),
    ):
        if told.get(key):
            lines.append(
                f"  {words}: " + ", ".join(f"{name} {value:+.2f}" for name, value in told[key].items())
            )
    return "\n".join(lines)


# preview ----------------------------------------------------------------------------------------------------


def _faces(pack: Pack, words: dict[str, Any]) -> list[Shown]:
    """What the rows show: given pictures, samples of a folder, or faces that the pack draws."""
    import numpy as np

    from stit_vfx.gan.stylegan2 import Generator
    from stit_vfx.learning.drawing import Sampling, draw_ws
    from stit_vfx.learning.samples import read_samples
    from stit_vfx.learning.sheet import Shown

    network, count = pack.model.network, words["count"]
    if words["images"]:
        return [Shown(path.stem, image=path) for path in words["images"]]
    if words["folder"] is not None:
        samples = read_samples(words["folder"], pack=pack)
        rows = np.unique(
            np.linspace(0, len(samples.files) - 1, min(count, len(samples.files))).round().astype(int)
        )
        plain = isinstance(network, Generator)
        return [
            Shown(Path(samples.files[row]).stem, ws=samples.ws[row])
            if plain
            else Shown(Path(samples.files[row]).stem, image=samples.folder / samples.files[row])
            for row in rows
        ]
    if not isinstance(network, Generator):
        raise JobError(
            f"pack {pack.name} draws no faces of its own", hint="Give --image FILE with a picture of a face"
        )
    wish = Sampling(count=count, seed=words["seed"])
    drawn = [draw_ws(network, wish, number)[0].float().cpu().numpy() for number in range(count)]
    return [Shown(f"seed {words['seed']}, {number + 1}", ws=ws) for number, ws in enumerate(drawn)]


def _strengths(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise JobFieldError(f"--strengths {text}: is no list of numbers", hint="For example -1,0,1") from None
