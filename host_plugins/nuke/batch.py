"""Cook a node without a window.

nuke -t batch.py --script=shot.nk --node=StitFaceEdit1 [--frames=1001-1100] [--step=job|cook] [--save]

`--step=job` writes plate and job and says the engine's command, which needs no Nuke licence; `cook` (the
default) runs it too. `--save` saves the script, so that it shows the new version. Exit status as `stit run`:
0 done, 1 bug or an error of the script, 2 usage, 3 plate or face, 4 machine, 5 partial, 75 try again,
130 cancelled. Write every option in one word: Nuke takes a last word that looks like a range for itself.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import List, NoReturn

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from stit_vfx_nuke import adapter, cooking, results, settings, shared


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        sys.stderr.write("{}\n{}".format(message, self.format_usage()))
        raise SystemExit(2)


def main(argv: List[str]) -> int:
    """Do what the words say; gives the exit status."""
    parser = _Parser(prog="nuke -t batch.py")
    parser.add_argument("--script", required=True)
    parser.add_argument("--node", required=True)
    parser.add_argument("--frames", default="")
    parser.add_argument("--step", choices=("job", "cook"), default="cook")
    parser.add_argument("--save", action="store_true")
    words = parser.parse_args(argv)
    try:
        return _work(words)
    except shared.EngineError as error:
        sys.stderr.write("{}\n".format(error))
        return error.trouble.exit_status
    except settings.SettingsError as error:
        sys.stderr.write("{}\n".format(error))
        return 2
    except (RuntimeError, ValueError, OSError, NameError) as error:
        sys.stderr.write("{}: {}\n".format(words.script, error))
        return 1


def _work(words: argparse.Namespace) -> int:
    adapter.open_script(words.script)
    node = adapter.node_named(words.node)
    if node is None:
        raise settings.SettingsError("{} has no node {}.".format(words.script, words.node))
    if words.frames:
        adapter.put(node, frames=words.frames)
    if words.step == "job":
        results.export_job(node)
        return 0
    cooking.OUTCOMES.pop(adapter.name_of(node), None)
    cooking.cook(node)
    outcome = cooking.OUTCOMES.get(adapter.name_of(node), cooking.Outcome(1, "no result"))
    if words.save and outcome.exit_status in (0, 5):
        adapter.save_script()
    return outcome.exit_status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
