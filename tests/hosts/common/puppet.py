"""A fake engine that does what a script says, step by step, well or badly. Standard library only, Python 3.7.

    puppet.py SCRIPT.json [words of the command line are ignored]

Steps, each a list:
    say {...}          an event; seq and t are added if they are not there
    raw TEXT           these characters on stdout, as Latin-1 bytes, and nothing added
    slowly TEXT        the same, one byte at a time
    times N STEP       a step so many times over; "%d" in its texts is the number
    err TEXT           a line on stderr
    until PATH         wait until this file is there
    make PATH          make a file
    obey PATH          from now on: on {"cmd": "cancel"} say `end` and exit 130; note what came in PATH
    note PATH          the same, but only note what came
    deaf PATH          ignore SIGTERM; note it in PATH
    child PATH         start a child that keeps our stdout and stderr open; its number goes to PATH
    stray PATH         the same, in a session of its own
    close FD           close a file descriptor
    exit N             exit at once, without any clean-up
    signal N           be ended by this signal
    hang               do nothing, for ever
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time

_seq = [0]
_SLEEPER = "import time\nwhile True: time.sleep(1)"


def _write(fd, data):
    while data:
        data = data[os.write(fd, data) :]


def say(event):
    _seq[0] = event.get("seq", _seq[0] + 1) if isinstance(event.get("seq", 1), int) else _seq[0] + 1
    _write(1, json.dumps(dict({"seq": _seq[0], "t": 0.5}, **event)).encode() + b"\n")


def raw(text):
    _write(1, text.encode("latin-1"))


def slowly(text):
    for byte in text.encode("latin-1"):
        _write(1, bytes([byte]))
        time.sleep(0.001)


def times(count, step):
    for n in range(count):
        run(json.loads(json.dumps(step).replace("%d", str(n))))


def err(text):
    _write(2, text.encode("latin-1") + b"\n")


def until(path):
    while not os.path.exists(path):
        time.sleep(0.005)


def make(path):
    with open(path, "a"):
        pass


def _add(path, word):
    with open(path, "a") as file:
        file.write(word + "\n")


def _listen(path, answer):
    waiting = b""
    while True:
        data = os.read(0, 4096)
        waiting += data
        *lines, waiting = waiting.split(b"\n")
        for line in lines:
            _add(path, line.decode())
            if answer and json.loads(line.decode()).get("cmd") == "cancel":
                say({"ev": "end", "status": "cancelled", "exit": 130, "reason": "command"})
                os._exit(130)
        if not data:
            _add(path, "closed")
            return


def obey(path):
    threading.Thread(target=_listen, args=(path, True), daemon=True).start()


def note(path):
    threading.Thread(target=_listen, args=(path, False), daemon=True).start()


def deaf(path):
    signal.signal(signal.SIGTERM, lambda number, frame: _add(path, "SIGTERM"))


def child(path, **more):
    started = subprocess.Popen([sys.executable, "-c", _SLEEPER], stdin=subprocess.DEVNULL, **more)
    _add(path, str(started.pid))


def stray(path):
    child(path, start_new_session=True)


def hang():
    while True:
        time.sleep(0.05)


ACTIONS = {
    "say": say,
    "raw": raw,
    "slowly": slowly,
    "times": times,
    "err": err,
    "until": until,
    "make": make,
    "obey": obey,
    "note": note,
    "deaf": deaf,
    "child": child,
    "stray": stray,
    "close": os.close,
    "exit": os._exit,
    "signal": lambda number: os.kill(os.getpid(), number),
    "hang": hang,
}


def run(step):
    ACTIONS[step[0]](*step[1:])


if __name__ == "__main__":
    with open(sys.argv[1]) as script:
        for each in json.load(script):
            run(each)
