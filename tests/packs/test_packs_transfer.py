"""One file from a server that breaks off, lies, changes its mind or crawls."""

from __future__ import annotations

import os
import random
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import URLError

import pytest
from fetch_server import WebServer

from stit_vfx.errors import CancelledError, DiskFullError, PackFetchError, ReadOnlyError, TransientError
from stit_vfx.packs import web
from stit_vfx.packs.transfer import Note, Part, Wanted, as_size, copy_file, download
from stit_vfx.packs.web import Manners, check_step, check_url, connection_problem, read_small

BODY = random.Random(1).randbytes(300_000)
OTHER = random.Random(2).randbytes(300_000)
QUICK = Manners(tries=3, timeout_s=10, first_wait_s=0)


def sum_of(data: bytes) -> str:
    return sha256(data).hexdigest()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server() -> Iterator[WebServer]:
    server = WebServer()
    yield server
    server.close()


@pytest.fixture
def get(tmp_path: Path) -> Any:
    """Download to tmp_path/m.pkl; gives the file's bytes."""

    def get(
        url: str, body: bytes | None = BODY, *, size: int | None = None, manners: Manners = QUICK
    ) -> bytes:
        known = None if body is None else sum_of(body)
        wanted = Wanted(name="m.pkl", address=url, sha256=known, size_bytes=size)
        digest = download(wanted, tmp_path, manners=manners, watch=lambda done, total: None)
        data = (tmp_path / "m.pkl").read_bytes()
        assert digest == sum_of(data)
        assert os.listdir(tmp_path) == ["m.pkl"]
        return data

    return get


def leave_part(folder: Path, data: bytes, **note: Any) -> None:
    with Part(folder / "m.pkl") as part:
        part.write(data)
        part.remember(Note(**{"sha256": None, "etag": None, "modified": None, "total": None, **note}))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("length", [None, "chunked"])
def test_cut_at_random_places_it_gives_the_same_file(
    server: WebServer, get: Any, seed: int, length: Any
) -> None:
    rng = random.Random(seed)
    cuts = [rng.choice([0, 1, rng.randrange(45_000), rng.randrange(45_000)]) for _ in range(6)]
    url = server.serve("m.pkl", BODY, etag='"a"', cuts=list(cuts), length=length)
    assert get(url, size=len(BODY), manners=Manners(tries=20, first_wait_s=0)) == BODY
    starts = [int(told[6:-1]) if told else 0 for told in server.ranges("m.pkl")]
    assert len(starts) == len(cuts) + 1
    assert starts == [sum(cuts[:n]) for n in range(len(cuts) + 1)]


def test_a_server_without_ranges_starts_over(server: WebServer, get: Any) -> None:
    url = server.serve("m.pkl", BODY, ranges=False, etag='"a"', cuts=[100_000])
    assert get(url) == BODY
    assert server.statuses("m.pkl") == [200, 200]


def test_the_next_call_goes_on_where_the_last_gave_up(server: WebServer, get: Any, tmp_path: Path) -> None:
    url = server.serve("m.pkl", BODY, etag='"a"', cuts=[50_000, 50_000, 50_000])
    with pytest.raises(TransientError, match=r"gave up after 3 tries.*same command"):
        get(url)
    assert (tmp_path / "m.pkl.part").stat().st_size == 150_000
    assert not (tmp_path / "m.pkl").exists()
    assert get(url) == BODY
    assert server.asked[-1].range == "bytes=150000-"
    assert server.asked[-1].if_range == '"a"'


def test_tries_are_counted_anew_when_megabytes_were_gained(server: WebServer, get: Any) -> None:
    body = bytes(9 << 20)
    url = server.serve("m.pkl", body, etag='"a"', cuts=[2 << 20] * 4)
    assert get(url, body) == body


def test_a_server_that_always_starts_over_is_given_up(server: WebServer, get: Any) -> None:
    body = bytes(4 << 20)
    url = server.serve("m.pkl", body, ranges=False, cuts=[3 << 20] * 50)
    with pytest.raises(TransientError):
        get(url, body)
    assert len(server.asked) <= 2 * QUICK.tries


def test_a_file_that_changed_meanwhile_is_fetched_from_the_start(server: WebServer, get: Any) -> None:
    url = server.serve("m.pkl", BODY, etag='"a"', cuts=[50_000] * 3)
    with pytest.raises(TransientError):
        get(url, None)
    server.serve("m.pkl", OTHER, etag='"b"')
    assert get(url, None) == OTHER
    assert server.asked[-1].if_range == '"a"'


@pytest.mark.parametrize("now", ["Tue, 02 Jan 2024 00:00:00 GMT", None])
def test_a_changed_file_is_seen_where_the_server_ignores_if_range(
    server: WebServer, get: Any, now: str | None
) -> None:
    url = server.serve("m.pkl", BODY, modified="Mon, 01 Jan 2024 00:00:00 GMT", cuts=[50_000] * 3)
    with pytest.raises(TransientError):
        get(url, None)
    server.serve("m.pkl", OTHER, modified=now, if_range=False)
    assert get(url, None) == OTHER
    assert server.statuses("m.pkl")[-2:] == [206, 200]


def test_pieces_of_two_versions_are_found_by_the_sum_and_fetched_anew(server: WebServer, get: Any) -> None:
    url = server.serve("m.pkl", OTHER, cuts=[50_000] * 3)
    with pytest.raises(TransientError):
        get(url, BODY)
    server.serve("m.pkl", BODY)
    assert get(url, BODY) == BODY
    assert server.statuses("m.pkl")[-2:] == [206, 200]


def test_without_sum_and_validator_nothing_is_pieced_together(server: WebServer, get: Any) -> None:
    url = server.serve("m.pkl", BODY, etag='W/"weak"', cuts=[50_000])
    assert get(url, None) == BODY
    assert server.ranges("m.pkl") == [None, None]


def test_a_part_of_another_sum_is_not_used(server: WebServer, get: Any, tmp_path: Path) -> None:
    leave_part(tmp_path, OTHER[:1000], url=server.url("m.pkl"), sha256=sum_of(OTHER))
    assert get(server.serve("m.pkl", BODY)) == BODY
    assert server.ranges("m.pkl") == [None]


def test_a_part_from_a_mirror_is_used_where_the_sum_is_the_same(
    server: WebServer, get: Any, tmp_path: Path
) -> None:
    leave_part(tmp_path, BODY[:1000], url="http://mirror.invalid/m", sha256=sum_of(BODY), etag='"x"')
    assert get(server.serve("m.pkl", BODY, etag='"y"')) == BODY
    assert (server.asked[0].range, server.asked[0].if_range) == ("bytes=1000-", None)


@pytest.mark.parametrize("note", ["", "{", '{"schema": "stit.part/1", "url": 3}', "[" * 5000])
def test_a_part_of_which_nothing_is_known_is_not_used(
    server: WebServer, get: Any, tmp_path: Path, note: str
) -> None:
    (tmp_path / "m.pkl.part").write_bytes(OTHER[:1000])
    (tmp_path / "m.pkl.part.json").write_text(note)
    assert get(server.serve("m.pkl", BODY)) == BODY
    assert server.ranges("m.pkl") == [None]


def test_a_whole_part_that_only_lacks_its_name_gets_it(server: WebServer, get: Any, tmp_path: Path) -> None:
    url = server.serve("m.pkl", BODY, etag='"a"')
    leave_part(tmp_path, BODY, url=url, etag='"a"', total=len(BODY))
    assert get(url, None) == BODY
    assert server.statuses("m.pkl") == [416]


def test_a_part_longer_than_the_servers_file_is_fetched_anew(
    server: WebServer, get: Any, tmp_path: Path
) -> None:
    url = server.serve("m.pkl", BODY[:1000])
    leave_part(tmp_path, BODY, url=url, sha256=sum_of(BODY[:1000]))
    assert get(url, BODY[:1000]) == BODY[:1000]
    assert server.statuses("m.pkl") == [416, 200]


def test_wrong_bytes_are_refused_and_dropped(server: WebServer, get: Any, tmp_path: Path) -> None:
    with pytest.raises(PackFetchError, match=sum_of(OTHER)):
        get(server.serve("m.pkl", OTHER))
    assert os.listdir(tmp_path) == []
    assert server.statuses("m.pkl") == [200]


@pytest.mark.parametrize("statuses", [[500], [503, 429], [408, 502]])
def test_a_server_that_is_busy_is_asked_again(server: WebServer, get: Any, statuses: list[int]) -> None:
    assert get(server.serve("m.pkl", BODY, statuses=list(statuses))) == BODY
    assert server.statuses("m.pkl") == [*statuses, 200]


def test_a_server_that_stays_broken_is_worth_trying_later(server: WebServer, get: Any) -> None:
    with pytest.raises(TransientError) as caught:
        get(server.serve("m.pkl", BODY, statuses=[500] * 9))
    assert caught.value.exit_status == 75
    assert server.statuses("m.pkl") == [500] * 3


def test_waits_double_and_obey_the_server_up_to_the_limit(
    server: WebServer, get: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(web, "_wait", lambda seconds, idle: waits.append(seconds))
    url = server.serve("m.pkl", BODY, statuses=[500] * 3)
    get(url, manners=Manners(tries=9, first_wait_s=1, longest_wait_s=3))
    assert waits == [1, 2, 3]
    server.serve("m.pkl", BODY, statuses=[503], headers={"Retry-After": "7"})
    get(url, manners=Manners(tries=9, first_wait_s=1, longest_wait_s=60))
    assert waits[3:] == [7]


@pytest.mark.parametrize("status", [401, 403, 404, 410, 501])
def test_what_will_not_pass_is_asked_once(server: WebServer, get: Any, status: int) -> None:
    with pytest.raises(PackFetchError, match=str(status)):
        get(server.serve("m.pkl", BODY, statuses=[status] * 2))
    assert server.statuses("m.pkl") == [status]


def test_nobody_at_that_address_is_transient(server: WebServer, get: Any) -> None:
    url = server.url("m.pkl")
    server.close()
    with pytest.raises(TransientError, match="no connection"):
        get(url)


def test_a_redirect_is_followed_and_keeps_the_range(server: WebServer, get: Any) -> None:
    server.serve("there", BODY, etag='"a"', cuts=[1000])
    url = server.serve("m.pkl", b"", statuses=[302, 307], headers={"Location": "/there"})
    assert get(url) == BODY
    assert server.ranges("there") == [None, "bytes=1000-"]


@pytest.mark.parametrize("target", ["/m.pkl", "/other"])
def test_a_circle_of_redirects_ends(server: WebServer, get: Any, target: str) -> None:
    for path, to in (("m.pkl", target), ("other", "/m.pkl")):
        server.serve(path, b"", statuses=[302] * 99, headers={"Location": to})
    with pytest.raises(PackFetchError, match="circle"):
        get(server.url("m.pkl"))
    assert len(server.asked) <= 10


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "//", "http://"])
def test_a_redirect_to_anything_but_a_web_server_is_refused(server: WebServer, get: Any, target: str) -> None:
    with pytest.raises(PackFetchError):
        get(server.serve("m.pkl", b"", statuses=[302], headers={"Location": target}))


def test_a_redirect_to_nowhere_is_refused(server: WebServer, get: Any) -> None:
    with pytest.raises(PackFetchError, match="302"):
        get(server.serve("m.pkl", b"", statuses=[302]))


def test_no_step_leads_out_of_tls() -> None:
    for start, end in (
        ("http://a/x", "https://b/y"),
        ("https://a/x", "HTTPS://b/y"),
        ("http://a", "http://b"),
    ):
        check_step(start, end)
    for start in ("https://a/x", "HTTPS://a/x"):
        with pytest.raises(PackFetchError, match="https to http"):
            check_step(start, "http://a/x")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "file:///x",
        "ftp://h/x",
        "http://",
        "http:///x",
        "https://h/a b",
        "https://h/\u00e9",
        "http://h/\r\nx",
    ],
)
def test_what_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(PackFetchError, match="address"):
        check_url(url)


def test_a_login_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(PackFetchError) as caught:
        check_url("https://anna:secret@host.example/x")
    assert "secret" not in str(caught.value)


def test_a_certificate_that_is_not_trusted_is_not_tried_again() -> None:
    error = connection_problem(URLError(ssl.SSLCertVerificationError(1, "self-signed")), "https://h/x")
    assert isinstance(error, PackFetchError)
    assert "SSL_CERT_FILE" in str(error)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_tls_is_verified_and_a_studios_own_authority_is_taken_from_the_environment(
    server: WebServer, get: Any, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("tls")
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=local -addext subjectAltName=IP:127.0.0.1"
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(["openssl", *words.split(), *files], check=True, capture_output=True, timeout=60)
    server.use_tls(folder / "cert.pem", folder / "key.pem")
    url = server.serve("m.pkl", BODY)
    with pytest.raises(PackFetchError, match=r"not trusted: self.signed certificate.*SSL_CERT_FILE"):
        get(url)
    assert server.asked == []
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "cert.pem"))
    web._tls.cache_clear()
    try:
        assert get(url) == BODY
        server.serve("m.pkl", BODY, statuses=[302], headers={"Location": "http://127.0.0.1:9/m.pkl"})
        with pytest.raises(PackFetchError, match="from https to http"):
            get(url, OTHER)
    finally:
        web._tls.cache_clear()


def test_a_proxy_of_the_environment_is_used(
    server: WebServer, get: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url())
    server.serve("m.pkl", BODY)
    assert get("http://packs.invalid/m.pkl") == BODY


def test_a_server_that_falls_silent_is_left(server: WebServer, get: Any, tmp_path: Path) -> None:
    url = server.serve("m.pkl", BODY, etag='"a"', hold_after=1000)
    with pytest.raises(TransientError, match="in time"):
        get(url, manners=Manners(tries=2, timeout_s=0.2, first_wait_s=0))
    assert (tmp_path / "m.pkl.part").stat().st_size == 2000


def test_a_server_that_drips_is_left(server: WebServer, get: Any) -> None:
    url = server.serve("m.pkl", BODY, drip_s=0.02)
    with pytest.raises(TransientError, match="bytes a second"):
        get(url, manners=Manners(tries=2, timeout_s=0.3, first_wait_s=0, slowest_bytes_s=1000))


def test_a_length_that_promises_too_much_is_a_broken_connection(server: WebServer, get: Any) -> None:
    with pytest.raises(TransientError, match="ended early"):
        get(server.serve("m.pkl", BODY, length=len(BODY) + 1, ranges=False))


def test_a_length_that_is_not_the_indexs_is_refused_before_the_body(server: WebServer, get: Any) -> None:
    url = server.serve("m.pkl", BODY, length=1000)
    with pytest.raises(PackFetchError, match="1000 bytes, and 300000"):
        get(url, size=len(BODY))


@pytest.mark.parametrize("length", ["none", "chunked"])
def test_a_body_without_end_is_cut_off(server: WebServer, get: Any, tmp_path: Path, length: str) -> None:
    url = server.serve("m.pkl", BODY, length=length, endless=True)
    with pytest.raises(PackFetchError, match="more than 300 kB"):
        get(url, size=len(BODY))
    with pytest.raises(PackFetchError, match="more than 2 MB"):
        get(url, manners=Manners(tries=2, max_bytes=2_000_000))
    assert os.listdir(tmp_path) == []


def test_a_file_larger_than_the_limit_is_not_begun(server: WebServer, get: Any, tmp_path: Path) -> None:
    with pytest.raises(PackFetchError, match="--max-size"):
        get(server.serve("m.pkl", BODY), manners=Manners(max_bytes=1000))
    assert os.listdir(tmp_path) == []


def test_an_end_that_cannot_be_told_from_a_cut_needs_a_sum(server: WebServer, get: Any) -> None:
    url = server.serve("m.pkl", BODY, length="none")
    with pytest.raises(PackFetchError, match="--sha256"):
        get(url, None)
    server.files["/m.pkl"].cuts = [5]
    assert get(url, BODY) == BODY


def test_a_packed_answer_is_refused(server: WebServer, get: Any) -> None:
    with pytest.raises(PackFetchError, match="gzip"):
        get(server.serve("m.pkl", BODY, headers={"Content-Encoding": "gzip"}))


def test_room_is_looked_for_before_the_body(
    server: WebServer, get: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=1000))
    with pytest.raises(DiskFullError, match="300 kB are needed, 1 kB are free"):
        get(server.serve("m.pkl", BODY))
    assert os.listdir(tmp_path) == []


def test_two_at_the_same_file_do_not_mix(server: WebServer, get: Any, tmp_path: Path) -> None:
    url = server.serve("m.pkl", BODY)
    with Part(tmp_path / "m.pkl"), pytest.raises(TransientError, match="another process"):
        get(url)
    assert get(url) == BODY


def test_a_link_in_the_parts_place_is_not_followed(server: WebServer, get: Any, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "m.pkl.part").symlink_to(victim)
    with pytest.raises(Exception, match="STIT-E4"):
        get(server.serve("m.pkl", BODY))
    assert victim.read_text() == "mine"


def test_a_folder_that_may_not_be_written_is_told(
    server: WebServer, get: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Any, *_: Any) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(ReadOnlyError, match="Choose another output folder"):
        get(server.serve("m.pkl", BODY))
    assert server.asked == []


def test_stopped_it_keeps_what_came(server: WebServer, get: Any, tmp_path: Path) -> None:
    def stop(done: int, total: int | None) -> None:
        if done:
            raise CancelledError("stopped")

    url = server.serve("m.pkl", BODY, etag='"a"')
    wanted = Wanted(name="m.pkl", address=url, sha256=sum_of(BODY))
    with pytest.raises(CancelledError):
        download(wanted, tmp_path, manners=QUICK, watch=stop)
    held = (tmp_path / "m.pkl.part").stat().st_size
    assert 0 < held < len(BODY)
    assert get(url) == BODY
    assert server.asked[-1].range == f"bytes={held}-"


def test_a_small_document_is_read_whole_or_refused(server: WebServer) -> None:
    url = server.serve("index.json", b"x" * 1000, cuts=[10])
    told = read_small(url, limit=1000, manners=QUICK, idle=lambda: None)
    assert told == (b"x" * 1000, url)
    with pytest.raises(PackFetchError, match="larger than 999"):
        read_small(url, limit=999, manners=QUICK, idle=lambda: None)


def test_a_file_of_a_folder_is_checked_alike(tmp_path: Path) -> None:
    source, to = tmp_path / "source", tmp_path / "to"
    source.write_bytes(BODY)
    wanted = Wanted(name="m.pkl", address=source, sha256=sum_of(BODY), size_bytes=len(BODY))
    copy_file(wanted, to, watch=lambda done, total: None)
    assert (to / "m.pkl").read_bytes() == BODY
    source.write_bytes(OTHER)
    with pytest.raises(PackFetchError, match=sum_of(OTHER)):
        copy_file(wanted, to, watch=lambda done, total: None)
    assert os.listdir(to) == ["m.pkl"]
    assert (to / "m.pkl").read_bytes() == BODY


def test_sizes_are_told_with_three_digits() -> None:
    assert [as_size(n) for n in (0, 999, 1000, 13_786_779, 999_600_000)] == [
        "0 B",
        "999 B",
        "1 kB",
        "13.8 MB",
        "1 GB",
    ]
