"""`stit packs fetch`: packs and models from an index, one file of an address, carried folders."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from fetch_server import BODY, WebServer, index_of, model

from stit_vfx import cli
from stit_vfx.errors import (
    PackFetchError,
    PackLicenceError,
)
from stit_vfx.packs.fetch import Catalogue, Order, fetch, open_index, order_address, order_offer
from stit_vfx.packs.index import make_index, parse_index
from stit_vfx.packs.load import load_pack
from stit_vfx.packs.registry import list_packs, verify_pack
from stit_vfx.packs.web import Manners

QUICK = Manners(tries=2, timeout_s=10, first_wait_s=0)
PACK_FILES = ["directions.safetensors", "encoder.safetensors", "generator.safetensors", "pack.json"]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "stit_pack_index"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(autouse=True)
def _one_process_many_commands(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A command keeps its session and its signal handlers until its process ends."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr("stit_vfx.cli.session._current", None)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def server() -> Iterator[WebServer]:
    server = WebServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, make_pack: Any) -> Path:
    return make_pack(tmp_path_factory.mktemp("srv") / "tiny")


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)


def publish(server: WebServer, index: dict[str, Any], pack: Path | None = None, **how: Any) -> str:
    """The index's address."""
    for name in PACK_FILES if pack else ():
        server.serve(f"{pack.name}/{name}", (pack / name).read_bytes(), etag=f'"{name}"', **how)
    server.serve("models/net.pkl", BODY, etag='"net"')
    return server.serve("index.json", json.dumps(index).encode())


def ordered(url: str, name: str, to: Path, **more: Any) -> Order:
    return order_offer(open_index(url, manners=QUICK), name, to=to, **more)


def run(order: Order, **more: Any) -> Any:
    return fetch(order, accepted=True, manners=QUICK, **more)


def asked_for_files(server: WebServer) -> list[str]:
    return [each.path for each in server.asked if each.path != "/index.json"]


def stit(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["packs", *words])
    return int(ended.value.code or 0)


def test_a_pack_is_fetched_verified_and_loads(server: WebServer, original: Path, tmp_path: Path) -> None:
    url = publish(server, index_of(original), original)
    fetched = run(ordered(url, "tiny", tmp_path))
    assert fetched.fresh
    assert sorted(os.listdir(tmp_path / "tiny")) == PACK_FILES
    assert os.listdir(tmp_path) == ["tiny"]
    assert verify_pack(tmp_path / "tiny") == []
    assert load_pack("tiny", search=[tmp_path]).spec.name == "tiny"


def test_what_is_there_and_whole_is_not_fetched_again(
    server: WebServer, original: Path, tmp_path: Path
) -> None:
    url = publish(server, index_of(original), original)
    run(ordered(url, "tiny", tmp_path))
    server.asked.clear()
    again = fetch(ordered(url, "tiny", tmp_path), accepted=False)
    assert not again.fresh
    assert asked_for_files(server) == []


def test_a_damaged_copy_is_repaired_with_the_damaged_file_alone(
    server: WebServer, original: Path, tmp_path: Path
) -> None:
    url = publish(server, index_of(original), original)
    run(ordered(url, "tiny", tmp_path))
    (tmp_path / "tiny" / "encoder.safetensors").write_bytes(b"damaged")
    server.asked.clear()
    run(ordered(url, "tiny", tmp_path))
    assert asked_for_files(server) == ["/tiny/encoder.safetensors"]
    assert verify_pack(tmp_path / "tiny") == []
    assert os.listdir(tmp_path) == ["tiny"]


def test_another_version_is_replaced_only_when_told(
    server: WebServer, original: Path, tmp_path: Path, make_pack: Any
) -> None:
    newer = make_pack(tmp_path / "new" / "tiny", title="Tiny, newer")
    run(ordered(publish(server, index_of(original), original), "tiny", tmp_path))
    order = ordered(publish(server, index_of(newer), newer), "tiny", tmp_path)
    with pytest.raises(PackFetchError, match=r"another version.*--replace"):
        run(order)
    server.asked.clear()
    run(order, replace=True)
    assert asked_for_files(server) == ["/tiny/pack.json"]
    assert [pack.title for pack in list_packs(search=[tmp_path]) if pack.name == "tiny"] == ["Tiny, newer"]


def test_a_folder_that_is_no_pack_is_never_replaced(
    server: WebServer, original: Path, tmp_path: Path
) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "notes.txt").write_text("mine")
    with pytest.raises(PackFetchError, match="is no pack"):
        run(ordered(publish(server, index_of(original), original), "tiny", tmp_path), replace=True)
    assert (tmp_path / "tiny" / "notes.txt").read_text() == "mine"


def test_a_pack_that_is_half_there_is_not_listed_and_goes_on(
    server: WebServer, original: Path, tmp_path: Path
) -> None:
    url = publish(server, index_of(original), original)
    held = (original / "generator.safetensors").stat().st_size // 2
    server.files["/tiny/generator.safetensors"].cuts = [held, 0]
    with pytest.raises(Exception, match="STIT-E450"):
        run(ordered(url, "tiny", tmp_path))
    assert [pack for pack in list_packs(search=[tmp_path]) if pack.name == "tiny"] == []
    server.asked.clear()
    run(ordered(url, "tiny", tmp_path))
    assert asked_for_files(server) == ["/tiny/generator.safetensors"]
    assert server.asked[-1].range == f"bytes={held}-"
    assert verify_pack(tmp_path / "tiny") == []


@pytest.mark.parametrize(
    "change",
    [{"licence": "MIT"}, {"commercial_use": "no"}, {"name": "other"}],
    ids=lambda change: min(change),
)
def test_a_pack_that_is_not_what_was_agreed_to_is_refused_before_its_weights(
    server: WebServer, original: Path, tmp_path: Path, change: dict[str, str]
) -> None:
    index = index_of(original)
    index["packs"][0] |= change
    url = publish(server, index, original)
    with pytest.raises(PackFetchError, match="the index says something else"):
        run(ordered(url, index["packs"][0]["name"], tmp_path))
    assert asked_for_files(server) == ["/tiny/pack.json"]


def test_a_pack_whose_weights_are_not_the_indexs_is_refused_before_them(
    server: WebServer, original: Path, tmp_path: Path
) -> None:
    index = index_of(original)
    index["packs"][0]["files"][2]["sha256"] = "0" * 64
    with pytest.raises(PackFetchError, match=r"do not agree on encoder\.safetensors"):
        run(ordered(publish(server, index, original), "tiny", tmp_path))
    assert asked_for_files(server) == ["/tiny/pack.json"]


def test_wrong_bytes_never_become_a_pack(server: WebServer, original: Path, tmp_path: Path) -> None:
    url = publish(server, index_of(original), original)
    file = server.files["/tiny/generator.safetensors"]
    file.body = bytes(len(file.body))
    with pytest.raises(PackFetchError, match="is not the file expected"):
        run(ordered(url, "tiny", tmp_path))
    assert os.listdir(tmp_path) == [".fetch-tiny"]
    assert not any("generator" in name for name in os.listdir(tmp_path / ".fetch-tiny"))


def test_terms_not_accepted_move_no_byte(server: WebServer, original: Path, tmp_path: Path) -> None:
    url = publish(server, index_of(original), original)
    with pytest.raises(PackLicenceError):
        fetch(ordered(url, "tiny", tmp_path), accepted=False)
    assert asked_for_files(server) == []


def test_without_a_terminal_the_terms_must_be_accepted_by_a_flag(
    server: WebServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = publish(server, index_of(None, model(licence_text="Line one.\nLine two.")))
    words = ("fetch", "net", "--index", url, "--to", str(tmp_path))
    assert stit(*words) == 4
    told = capsys.readouterr().err
    for part in (
        "CC-BY-NC-4.0",
        "commercial use: no",
        "200 kB, 1 file",
        "research only",
        "Line two.",
        "E208",
    ):
        assert part in told
    assert asked_for_files(server) == []
    assert stit(*words, "--accept-licence") == 0
    assert (tmp_path / "net" / "net.pkl").read_bytes() == BODY


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("n\n", 4), ("\n", 4)])
def test_on_a_terminal_it_asks(
    server: WebServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, status: int
) -> None:
    url = publish(server, index_of(None, model()))
    monkeypatch.setattr("stit_vfx.cli.packs_fetch._has_terminal", lambda: True)
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda text: answer.strip())
    assert stit("fetch", "net", "--index", url, "--to", str(tmp_path)) == status
    assert (tmp_path / "net").exists() == (status == 0)


def test_a_model_waits_beside_the_packs_and_says_how_to_convert_it(
    server: WebServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STIT_PACK_INDEX", publish(server, index_of(None, model())))
    assert stit("fetch", "net", "--accept-licence") == 0
    path = tmp_path / "data" / "stit_vfx" / "downloads" / "net" / "net.pkl"
    assert path.read_bytes() == BODY
    line = f"stit packs convert {path} --name net --licence CC-BY-NC-4.0 --commercial no"
    told = capsys.readouterr().err
    assert line in told
    assert "STIT-W201" in told


@pytest.mark.parametrize(
    ("kind", "line"),
    [("fan", "convert fan {}/net/net.pkl\n"), ("encoder", "convert {}/net/net.pkl --into PACK --licence")],
)
def test_a_part_alone_is_said_to_be_added(
    server: WebServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, line: str
) -> None:
    url = publish(server, index_of(None, model(kind=kind)))
    assert stit("fetch", "net", "--accept-licence", "--index", url, "--to", str(tmp_path)) == 0
    assert line.format(tmp_path) in capsys.readouterr().err


def test_a_file_of_an_address_needs_its_sum_or_a_flag(
    server: WebServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, digest = server.serve("net.pkl", BODY), sha256(BODY).hexdigest()
    words = ("fetch", url, "--accept-licence", "--to", str(tmp_path))
    assert stit(*words) == 4
    assert "--allow-unknown-hash" in capsys.readouterr().err
    assert server.asked == []
    assert stit(*words, "--sha256", digest.upper()) == 0
    assert (tmp_path / "net.pkl").read_bytes() == BODY
    assert stit(*words, "--sha256", digest) == 0
    assert stit("fetch", url, "--accept-licence", "--to", str(tmp_path / "b"), "--allow-unknown-hash") == 0
    assert f"sha256 of net.pkl: {digest}" in capsys.readouterr().err


@pytest.mark.parametrize("sum_", ["12", "g" * 64, "0" * 63])
def test_a_sum_that_is_none_is_told(server: WebServer, sum_: str) -> None:
    assert stit("fetch", server.serve("net.pkl", BODY), "--sha256", sum_) == 2
    assert server.asked == []


def test_a_file_that_is_there_is_not_written_over_unasked(server: WebServer, tmp_path: Path) -> None:
    (tmp_path / "net.pkl").write_text("mine")
    order = order_address(server.serve("net.pkl", BODY), sha256=None, to=tmp_path)
    with pytest.raises(PackFetchError, match="--replace"):
        run(order)
    assert (tmp_path / "net.pkl").read_text() == "mine"
    run(order, replace=True)
    assert (tmp_path / "net.pkl").read_bytes() == BODY


@pytest.mark.parametrize(
    "path", ["", "a/..", "a/%2e%2e", ".bashrc", "x.part", "a%5Cb.pkl", "con.pkl", "a%00b"]
)
def test_an_address_that_names_no_plain_file_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(PackFetchError, match="names no file"):
        order_address(f"http://127.0.0.1:9/{path}", sha256=None, to=tmp_path)


@pytest.mark.usefixtures("no_network")
def test_offline_all_comes_from_the_folder(original: Path, tmp_path: Path) -> None:
    carried = tmp_path / "carried"
    carried.mkdir()
    (carried / "index.json").write_text(json.dumps(index_of(original, model())))
    for name in PACK_FILES:
        (carried / name).write_bytes((original / name).read_bytes())
    (carried / "net").mkdir()
    (carried / "net" / "net.pkl").write_bytes(BODY)
    words = ("fetch", "tiny", "net", "--offline", str(carried), "--index", "https://packs.invalid/index.json")
    assert stit(*words, "--accept-licence", "--to", str(tmp_path / "to")) == 0
    assert verify_pack(tmp_path / "to" / "tiny") == []
    assert (tmp_path / "to" / "net" / "net.pkl").read_bytes() == BODY


@pytest.mark.usefixtures("no_network")
def test_what_was_fetched_is_carried_with_an_index_made_of_it(
    original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "share.json").write_text(
        json.dumps(make_index(original.parent, base_url="https://h.invalid"))
    )
    (tmp_path / "carry").mkdir()
    words = ("fetch", "tiny", "--index", str(tmp_path / "share.json"), "--offline", str(original.parent))
    assert stit(*words, "--accept-licence", "--to", str(tmp_path / "carry")) == 0
    capsys.readouterr()
    assert stit("index", str(tmp_path / "carry")) == 0
    (tmp_path / "carry" / "index.json").write_text(capsys.readouterr().out)
    assert stit("fetch", "tiny", "--offline", str(tmp_path / "carry"), "--accept-licence") == 0
    assert verify_pack(tmp_path / "data" / "stit_vfx" / "packs" / "tiny") == []


@pytest.mark.usefixtures("no_network")
def test_offline_a_file_of_an_address_is_taken_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "net.pkl").write_bytes(BODY)
    digest = sha256(BODY).hexdigest()
    order = order_address(
        "https://host.invalid/a/net.pkl", sha256=digest, to=tmp_path / "to", offline=tmp_path
    )
    run(order)
    assert (tmp_path / "to" / "net.pkl").read_bytes() == BODY


@pytest.mark.usefixtures("no_network")
def test_offline_the_bytes_are_checked_alike(tmp_path: Path) -> None:
    catalogue = Catalogue(index=parse_index(json.dumps(index_of(None, model()))), base=tmp_path)
    with pytest.raises(PackFetchError, match=r"has no net/net\.pkl"):
        order_offer(catalogue, "net", to=tmp_path / "to", offline=tmp_path)
    (tmp_path / "net.pkl").write_bytes(bytes(len(BODY)))
    with pytest.raises(PackFetchError, match="is not the file expected"):
        run(order_offer(catalogue, "net", to=tmp_path / "to", offline=tmp_path))
    assert os.listdir(tmp_path / "to" / "net") == []


def test_an_index_on_a_share_needs_no_server(original: Path, tmp_path: Path, no_network: None) -> None:
    (tmp_path / "tiny").symlink_to(original)
    (tmp_path / "index.json").write_text(json.dumps(index_of(original)))
    run(ordered(str(tmp_path / "index.json"), "tiny", tmp_path / "to"))
    assert verify_pack(tmp_path / "to" / "tiny") == []


def test_an_index_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(PackFetchError, match="No such file"):
        open_index(str(tmp_path / "index.json"))
    assert stit("fetch", "net") == 2


def test_addresses_are_relative_to_where_the_index_was_found(server: WebServer, tmp_path: Path) -> None:
    server.serve("deep/index.json", json.dumps(index_of(None, model())).encode())
    server.serve("deep/models/net.pkl", BODY)
    url = server.serve("index.json", b"", statuses=[301], headers={"Location": "/deep/index.json"})
    run(ordered(url, "net", tmp_path))
    assert server.asked[-1].path == "/deep/models/net.pkl"


def test_the_list_shows_what_there_is(
    server: WebServer, original: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = publish(server, index_of(original, model()), original)
    assert stit("fetch", "--list", "--index", url) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:2] == ["tiny", "pack"]
    assert lines[2].split() == ["net", "model", "200", "kB", "no", "CC-BY-NC-4.0"]
    assert stit("fetch", "--list", "--index", url, "--json") == 0
    assert json.loads(capsys.readouterr().out)["models"][0]["name"] == "net"


def test_an_index_is_made_of_a_folder_and_can_be_fetched_from(
    server: WebServer, original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stit("index", str(original.parent), "--title", "Ours") == 0
    index = json.loads(capsys.readouterr().out)
    assert (index["title"], index["packs"][0]["files"][0]["url"]) == ("Ours", "tiny/pack.json")
    run(ordered(publish(server, index, original), "tiny", tmp_path))
    assert (
        make_index(original, base_url="https://h/p/")["packs"][0]["files"][0]["url"]
        == "https://h/p/pack.json"
    )


def spawn(*words: str, **more: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "stit_vfx", "packs", "fetch", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def wait_for_bytes(path: Path, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not path.exists() or path.stat().st_size < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 130)]
)
def test_a_process_that_is_stopped_leaves_what_the_next_goes_on_with(
    server: WebServer, tmp_path: Path, number: int, status: int
) -> None:
    url = server.serve("net.pkl", BODY, etag='"a"', hold_after=70_000)
    digest = sha256(BODY).hexdigest()
    process = spawn(url, "--sha256", digest, "--accept-licence", "--to", str(tmp_path))
    wait_for_bytes(tmp_path / "net.pkl.part", 70_000, process)
    process.send_signal(number)
    _, told = process.communicate(timeout=30)
    assert process.returncode == status, told
    assert "Traceback" not in told
    assert sorted(os.listdir(tmp_path)) == ["net.pkl.part", "net.pkl.part.json"]
    server.files["/net.pkl"].hold_after = None
    run(order_address(url, sha256=digest, to=tmp_path))
    assert server.asked[-1].range == "bytes=70000-"
    assert (tmp_path / "net.pkl").read_bytes() == BODY


def test_hosts_get_events_and_an_end(server: WebServer, tmp_path: Path) -> None:
    url = publish(server, index_of(None, model()))
    process = spawn("net", "--index", url, "--accept-licence", "--to", str(tmp_path), "--events", "jsonl")
    out, _ = process.communicate(timeout=60)
    events = [json.loads(line) for line in out.splitlines()]
    assert events[0]["ev"] == "hello"
    assert (events[-1]["ev"], events[-1]["status"], events[-1]["exit"]) == ("end", "ok", 0)
    assert [each["stage"] for each in events if each["ev"] == "stage"] == ["net/net.pkl"] * 2
    assert any(each["ev"] == "progress" and each["frac"] == 1 for each in events)


_OFFLINE_RUN = """
import sys
touched = []
def watch(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "urllib.Request"):
        touched.append((event, args))
sys.addaudithook(watch)
import stit_vfx.pipeline, stit_vfx.bench, stit_vfx.delivery, stit_vfx.plan, stit_vfx.packs.load
from stit_vfx.cli import main
try:
    main(sys.argv[1:])
except SystemExit as ended:
    status = ended.code
fetching = [name for name in ("fetch", "transfer", "web", "index") if f"stit_vfx.packs.{name}" in sys.modules]
print(repr((status, touched, fetching)))
"""


def test_a_run_without_its_pack_ends_and_never_fetches(tmp_path: Path) -> None:
    from stit_vfx.demo import write_plate

    plate = write_plate(tmp_path / "plates", frames=(1001, 1002))
    words = ["run", "--plate", str(plate), "--frames", "1001", "--edit", "smile=0.5", "--pack", "nosuch"]
    process = subprocess.run(
        [sys.executable, "-c", _OFFLINE_RUN, *words, "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
        env={**os.environ, "STIT_PACK_INDEX": "http://127.0.0.1:9/index.json"},
    )
    assert "STIT-E201" in process.stderr
    assert process.stdout.splitlines()[-1] == "(4, [], [])"
