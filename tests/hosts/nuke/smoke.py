"""For whoever has a licence: does what we could not, and prints PASS or FAIL a line. No network.

nuke -t tests/hosts/nuke/smoke.py              nodes, knobs, links, expressions, a frame of each gizmo
nuke -t tests/hosts/nuke/smoke.py --engine     also asks your engine to cook

The plug-in is taken from the project's folder. Scratch goes to a new temporary folder, whose name is printed.
Exit status 0: all passed.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback

import nuke

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
PLUGIN = os.path.join(ROOT, "host_plugins", "nuke")
GIZMOS = ("StitFaceEdit", "StitMatte", "StitApply")
TOLERANCE = 1e-5
_failed: list = []


def check(name, true, told=""):
    """One line of the report."""
    nuke.tprint("{} {}{}".format("PASS" if true else "FAIL", name, "" if true else ": {}".format(told)))
    if not true:
        _failed.append(name)


def attempt(name, call, *args):
    """A check that may raise; gives what the call gave."""
    try:
        result = call(*args)
    except Exception as error:
        check(name, False, "{}: {}".format(type(error).__name__, error))
        nuke.tprint(traceback.format_exc())
        return None
    check(name, True)
    return result


def inside(group):
    """The nodes of a group."""
    group.begin()
    try:
        return nuke.allNodes()
    finally:
        group.end()


def knobs_are_real(group):
    """Every knob that our hand-made list has of the classes we use, asked of Nuke's own nodes."""
    sys.path.insert(0, HERE)
    from nuke_knobs import KNOBS

    used = {"inputs"}  # a word of the file format, and no knob
    optional = {"icon", "proxy", "format", "onDestroy", "intersect"}
    for node in inside(group):
        written = set(KNOBS.get(node.Class(), ())) - used - optional
        lacking = sorted(name for name in written if node.knob(name) is None)
        check("{}.{}: knobs of {}".format(group.name(), node.name(), node.Class()), not lacking, lacking)


def expressions_work(group):
    """Nothing inside complains: each node is validated for frame 1."""
    for node in inside(group):
        told = node.error() if node.Class() not in ("Read", "Write") else False
        check("{}.{}: no error".format(group.name(), node.name()), not told, "Nuke shows an error")


def same(first, second, spots=((10, 10), (50, 40), (90, 70))):
    """Do two nodes give the same red, green, blue at some places?"""
    for x, y in spots:
        for channel in ("red", "green", "blue"):
            one = nuke.sample(first, channel, x + 0.5, y + 0.5)
            two = nuke.sample(second, channel, x + 0.5, y + 0.5)
            if abs(one - two) > TOLERANCE:
                return "{} at {}, {}: {} and {}".format(channel, x, y, one, two)
    return ""


def plate():
    """A picture with values below 0 and above 1."""
    nuke.addFormat("128 96 1.0 stit_smoke")
    source = nuke.nodes.Constant(format="stit_smoke")
    made = nuke.nodes.Expression(inputs=[source])
    for n, text in enumerate(("x/100", "y/10", "-0.05+x/50", "1")):
        made["expr{}".format(n)].setValue(text)
    return made


def nodes_work(source):
    """The gizmos as Nuke makes them."""
    made = {}
    for name in GIZMOS:
        node = attempt("{} is made".format(name), nuke.createNode, name, "", False)
        if node is None:
            continue
        made[name] = node
        check("{} is a Group".format(name), node.Class() == "Group", node.Class())
        for n in range(node.inputs()):
            node.setInput(n, None)
        node.setInput(0, source)
        knobs_are_real(node)
        expressions_work(node)
        if name != "StitMatte":
            told = attempt("{} can be looked at".format(name), same, node, source)
            check("{} that was never cooked is the plate".format(name), told == "", told)
    return made


def panel_works(node, folder):
    """The plug-in's own functions on a real node."""
    from stit_vfx_nuke import adapter, preparing, settings, tile

    attempt("knobs of the job", adapter.values, node, settings.JOB_KNOBS)
    attempt("the script's colour", lambda: nuke.tprint(str(preparing.colour(node))))
    attempt("fingerprint", preparing.fingerprint, node)
    attempt("the tile", tile.tell_tile, node)
    attempt("a slider is added", adapter.add_slider, node, "edit_smoke", "smoke", -1.0, 1.0, "A test.")
    check("the slider is an edit", "edit_smoke" in preparing.sliders(node), preparing.sliders(node))
    node.removeKnob(node["edit_smoke"])
    node["edit_smile"].setAnimated()
    node["edit_smile"].setValueAt(0.0, 1001)
    node["edit_smile"].setValueAt(0.5, 1002)
    found = attempt("a curve is sampled", adapter.samples, node, "edit_smile", [1001, 1002])
    check("the samples are the keys", found == {1001: 0.0, 1002: 0.5}, found)
    adapter.put(node, out_dir=folder.replace(os.sep, "/"), shot="smoke", first=1001, last=1002)
    prepared = attempt("the plate is written and the job", preparing.prepare, node)
    if prepared is not None:
        frames = [os.path.join(folder, "smoke.plate", "smoke.{}.exr".format(n)) for n in (1001, 1002)]
        check("the plate's frames are there", all(os.path.isfile(path) for path in frames), frames)
        node["face"].setValue("largest")


def cook_works(node):
    """An engine, if there is one. Our picture has no face: STIT-E3xx is the right answer, and passes."""
    from stit_vfx_nuke import asking, buttons, cooking

    attempt("the engine answers", asking.test_engine, node)
    buttons.press(node, "cook")
    outcome = cooking.OUTCOMES.get(node.fullName())
    check("a picture without a face ends with 3", outcome is not None and outcome.exit_status == 3, outcome)


def script_survives(folder):
    """Saved, and opened again: the layers and the knobs are there."""
    path = os.path.join(folder, "smoke.nk").replace(os.sep, "/")
    nuke.scriptSaveAs(path, 1)
    nuke.scriptClear()
    attempt("the script opens again", nuke.scriptOpen, path)
    node = nuke.toNode("StitFaceEdit1") or nuke.toNode("StitFaceEdit")
    check("the node is there again", node is not None)
    if node is not None:
        check("its matte layer is known", "stit_matte.alpha" in nuke.channels(), nuke.channels())
        check("its sliders are there", node.knob("edit_smile") is not None)


def main(words):
    """All checks; gives the exit status."""
    folder = tempfile.mkdtemp(prefix="stit-smoke-")
    nuke.tprint("Nuke {}, Python {}, {}".format(nuke.NUKE_VERSION_STRING, sys.version.split()[0], folder))
    nuke.pluginAddPath(PLUGIN)
    sys.path.insert(0, PLUGIN)
    nuke.pluginAddPath(os.path.join(ROOT, "gizmos"))
    made = nodes_work(plate())
    if "StitFaceEdit" in made:
        panel_works(made["StitFaceEdit"], folder)
        if "--engine" in words:
            cook_works(made["StitFaceEdit"])
    script_survives(folder)
    nuke.tprint("{} failed".format(len(_failed)) if _failed else "all passed")
    return 1 if _failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
