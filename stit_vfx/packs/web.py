"""One request to a web server, and what its failure means: worth another try, or not.

http and https only, also where a server redirects to; never from https to http. Certificates are checked
against the system's authorities (SSL_CERT_FILE names others). Proxies come from http_proxy, https_proxy and
no_proxy.
"""

from __future__ import annotations

import http.client
import re
import ssl
import string
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urljoin, urlsplit

from stit_vfx._version import __version__
from stit_vfx.errors import PackFetchError, TransientError

# Busy, restarting, or a gateway whose other side is away.
_PASSING_STATUS = {408, 423, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524}
_HINTS = {
    401: "The server wants a login, which is not supported: fetch the file in a browser, then use --offline",
    403: "The server does not let this machine have it: ask whoever runs it",
    404: "Check the address",
    407: "The proxy wants a login: see http_proxy and https_proxy",
    410: "It was taken away: ask whoever runs the server",
}
_REDIRECTS = {301, 302, 303, 307, 308}
_MOST_REDIRECTS = 10
_BLOCK_BYTES = 1 << 18
_IDLE_STEP_S = 0.1
# So much more than ever before counts as getting on, and the tries are counted anew.
_PROGRESS_BYTES = 1 << 20

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Manners:
    """How patient a download is, and how much it takes.

    tries           failures in a row, without a megabyte gained, after which it gives up
    timeout_s       of silence, or of hardly anything coming (`slowest_bytes_s`), after which a try has failed
    first_wait_s    before the second try; doubled each time, up to longest_wait_s
    max_bytes       no file is larger, whatever a server or an index says
    """

    tries: int = 6
    timeout_s: float = 30.0
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0
    slowest_bytes_s: int = 1000
    max_bytes: int = 20_000_000_000


class PassingError(Exception):
    """A try that failed for a reason that may pass. `wait_s`: what the server asked for."""

    def __init__(self, problem: str, *, wait_s: float = 0.0) -> None:
        super().__init__(problem)
        self.wait_s = wait_s


class BeyondEndError(Exception):
    """The server has nothing from that byte on (416). `total`: the file's size, if it says so."""

    def __init__(self, total: int | None) -> None:
        super().__init__(f"the file has {total} bytes")
        self.total = total


def is_web(address: str) -> bool:
    """Whether it is an http(s) address, and not a path."""
    return address.lower().startswith(("http://", "https://"))


def check_url(url: str) -> str:
    """The address, if it can be fetched from. Raises PackFetchError."""
    parts = urlsplit(url) if re.fullmatch(r"https?://[\x21-\x7e]+", url, re.IGNORECASE) else None
    if parts is None or not parts.hostname:
        raise PackFetchError("is no http(s) address", where=url[:300], hint="Check its spelling")
    if parts.username is not None:
        hint = "Leave it out: an address is written to logs and records"
        raise PackFetchError("a login in an address is not supported", where=parts.hostname, hint=hint)
    return url


def open_url(
    url: str, *, timeout_s: float, headers: Mapping[str, str] | None = None, method: str = "GET"
) -> http.client.HTTPResponse:
    """An answer whose body is still to be read; a context manager.

    Raises PassingError, BeyondEndError, or PackFetchError for what another try will not change.
    """
    told = {"User-Agent": f"stit_vfx/{__version__}", "Accept-Encoding": "identity", **(headers or {})}
    at = check_url(url)
    for _ in range(_MOST_REDIRECTS):
        answer = _ask(urllib.request.Request(at, headers=told, method=method), timeout_s)
        if isinstance(answer, http.client.HTTPResponse):
            return answer
        check_step(at, answer)
        at = check_url(answer)
    raise PackFetchError("leads round in a circle", where=url, hint=_HINTS[404])


def _ask(request: urllib.request.Request, timeout_s: float) -> http.client.HTTPResponse | str:
    """The answer, or the address that it sends to. urllib's own way there reads bodies without a limit."""
    url = request.full_url
    try:
        answer: http.client.HTTPResponse = _opener().open(request, timeout=timeout_s)
        return answer
    except HTTPError as error:
        with error:
            if error.code in _REDIRECTS and (target := error.headers.get("Location")):
                return urljoin(url, quote(target, safe=string.punctuation, encoding="iso-8859-1"))
            raise _status_problem(error, url) from None
    except (OSError, http.client.HTTPException) as error:
        raise connection_problem(error, url) from None
    except ValueError as error:
        raise PackFetchError(f"leads to an address that cannot be used: {error}", where=url) from None


def read_small(url: str, *, limit: int, manners: Manners, idle: Callable[[], None]) -> tuple[bytes, str]:
    """A small document, whole, and the address that it finally came from."""

    def attempt() -> tuple[bytes, str]:
        data = bytearray()
        with open_url(url, timeout_s=manners.timeout_s) as answer:
            for block in blocks(answer, manners=manners):
                idle()
                data += block
                if len(data) > limit:
                    raise PackFetchError(f"is larger than {limit} bytes", where=url)
            if len(data) < (length_of(answer) or 0):
                raise PassingError("the connection ended early")
            return bytes(data), answer.url

    return persist(attempt, manners=manners, where=url, idle=idle)


def size_of(url: str, *, manners: Manners) -> int | None:
    """Bytes of a file, without fetching it; None where the server does not say."""
    try:
        with open_url(url, timeout_s=manners.timeout_s, method="HEAD") as answer:
            return length_of(answer)
    except (PackFetchError, PassingError, BeyondEndError):
        # Some servers know no HEAD. What is really wrong, the download will tell.
        return None


def blocks(answer: http.client.HTTPResponse, *, manners: Manners) -> Iterator[bytes]:
    """The body as it comes. Raises PassingError where the connection breaks, or all but stands still."""
    since, came = time.monotonic(), 0
    while block := _read(answer):
        yield block
        came += len(block)
        if (took_s := time.monotonic() - since) >= manners.timeout_s:
            if came < manners.slowest_bytes_s * took_s:
                raise PassingError(f"the server sends less than {manners.slowest_bytes_s} bytes a second")
            since, came = time.monotonic(), 0


def _read(answer: http.client.HTTPResponse) -> bytes:
    try:
        # read1 gives what is there; read would wait until the block is full, however slowly it comes.
        return answer.read1(_BLOCK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise PassingError(_said(error)) from None


def length_of(answer: http.client.HTTPResponse) -> int | None:
    """How many bytes the server says will come."""
    told = answer.headers.get("Content-Length", "")
    return int(told) if told.isdecimal() else None


def persist(
    attempt: Callable[[], T],
    *,
    manners: Manners,
    where: str,
    idle: Callable[[], None],
    held: Callable[[], int] = lambda: 0,
) -> T:
    """Try until it works. `idle` is called while waiting, and may raise to stop; `held`: bytes gained so far.

    Bounded: the count of tries starts anew only when more bytes are held than ever before.
    """
    failed, most = 0, held()
    while True:
        try:
            return attempt()
        except PassingError as passing:
            if held() > most + _PROGRESS_BYTES:
                failed, most = 0, held()
            failed += 1
            if failed >= manners.tries:
                hint = "Run the same command again later: it goes on where it was"
                raise TransientError(
                    f"gave up after {failed} tries: {passing}", where=where, hint=hint
                ) from None
            wait_s = max(manners.first_wait_s * 2 ** (failed - 1), passing.wait_s)
            _wait(min(wait_s, manners.longest_wait_s), idle)


def connection_problem(error: Exception, url: str) -> Exception:
    """What a connection that did not come about, or broke, means."""
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        hint = "Check the address and this machine's clock; SSL_CERT_FILE names a studio's own authority"
        said = getattr(reason, "verify_message", "") or reason
        return PackFetchError(f"its certificate is not trusted: {said}", where=url, hint=hint)
    if isinstance(reason, http.client.InvalidURL):
        return PackFetchError(f"is no usable address: {reason}", where=url)
    return PassingError(_said(reason))


def check_step(start: str, end: str) -> None:
    """Raise PackFetchError where one address may not lead to the other."""
    if not is_web(end):
        raise PackFetchError(f"leads to {end[:200]!r}, which is no http(s) address", where=start)
    if start.lower().startswith("https:") and not end.lower().startswith("https:"):
        hint = "Ask whoever runs the server for an https address"
        raise PackFetchError(
            f"leads from https to {end[:200]}, where anybody can read along", where=start, hint=hint
        )


@cache
def _tls() -> ssl.SSLContext:
    """Reading the authorities takes longer than a small file."""
    return ssl.create_default_context()


def _opener() -> urllib.request.OpenerDirector:
    """Only what is needed: urllib's own also opens file: and ftp: addresses."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=_tls()),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _status_problem(error: HTTPError, url: str) -> Exception:
    if error.code == 416:
        total = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", ""))
        return BeyondEndError(int(total[1]) if total else None)
    if error.code in _PASSING_STATUS:
        asked = error.headers.get("Retry-After", "")
        wait_s = float(asked) if asked.isdecimal() else 0.0
        return PassingError(f"the server says {error.code} {error.reason}", wait_s=wait_s)
    said = f"the server says {error.code} {error.reason}"
    return PackFetchError(said, where=url, hint=_HINTS.get(error.code))


def _said(error: Any) -> str:
    if isinstance(error, TimeoutError):
        return "the server does not answer in time"
    if isinstance(error, http.client.HTTPException):
        return "the connection ended early"
    return f"no connection: {getattr(error, 'strerror', None) or error}"


def _wait(seconds: float, idle: Callable[[], None]) -> None:
    """Sleep in short steps, so that a cancel is heard."""
    end = time.monotonic() + seconds
    idle()
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, _IDLE_STEP_S))
        idle()
