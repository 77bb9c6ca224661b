"""An engine that does as it is told by STIT_TEST, for the plug-in's tests. It makes empty frames."""

import json
import os
import pathlib
import sys
import time

how = os.environ.get("STIT_TEST", "done")
words = sys.argv[1:]
seq = 0


def say(ev, **fields):
    global seq
    seq += 1
    print(json.dumps({"ev": ev, "seq": seq, "t": 0.1, **fields}), flush=True)


def answer(told):
    print(json.dumps(told), flush=True)
    sys.exit(0)


if words[0] == "packs":
    named = {"smile": {"title": "Smile", "range": [-0.5, 1.0]}, "ears": {"title": "Ears"}, "bad name": {}}
    answer({"directions": named, "licence": "Apache-2.0", "commercial_use": "yes"})
if words[0] == "faces":
    one = {"id": 1, "frames": "1001-1002", "box": [10, 20, 30, 40], "box_frame": 1002}
    answer({"faces": [one, {**one, "id": 2, "box": [50, 20, 60, 30], "box_frame": 1001}], "seen": words})
if words[0] == "gc":
    answer({"words": words})
if words[0] == "submit":
    sent = "job-1" if "--send" in words else None
    answer({"version": "v001", "tasks": 3, "files": ["/f/job.xml"], "commands": words, "sent": sent})
say("hello", engine="stit_vfx 0.0.0", proto="1.0", caps=[])
if how == "crash":
    os._exit(11)
if how == "face":
    say("error", code="STIT-E310", msg="no face in the plate", hint="Choose another range", fatal=True)
    say("end", status="failed", exit=3)
    sys.exit(3)
job_file = pathlib.Path(words[1])
job = json.loads(job_file.read_text())
if words[0] == "preview":
    out = next(word for word in words if word.startswith("--out=")).split("=", 1)[1]
    pathlib.Path(out).write_bytes(b"png")
    say("result", outputs=[{"kind": "preview", "path": out, "frames": "1001"}])
else:
    if how == "hang":
        sys.stdin.readline()
        say("end", status="cancelled", exit=130)
        sys.exit(130)
    say("progress", frac=0.5, stage="tune", frame=1001, eta_s=100)
    time.sleep(0.3)
    folder = pathlib.Path(job["output"]["folder"]) / (job["shot"] + ".stit") / "out" / "v001"
    for kind in ("comp", "matte"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for frame in (1001, 1002):
            (folder / kind / "{}.{:04d}.exr".format(job["shot"], frame)).touch()
    (folder / "provenance.json").write_text("{}")
    kinds = ("comp", "matte")
    outputs = [
        {"kind": kind, "path": str(folder / kind / (job["shot"] + ".####.exr")), "frames": "1001-1002"}
        for kind in kinds
    ]
    say("result", outputs=outputs, version="v001")
say("end", status="ok", exit=0)
