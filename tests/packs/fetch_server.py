"""A web server on the loopback that misbehaves as told and remembers what it was asked; an index for it."""

from __future__ import annotations

import random
import ssl
import threading
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from stit_vfx.packs.index import make_index

BODY = random.Random(3).randbytes(200_000)


@dataclass
class Served:
    """One file. Lists are used up, one item per request.

    statuses   answers before the file is given at all
    cuts       body bytes after which the connection is closed
    if_range   whether the server looks at If-Range
    length     what Content-Length says, if not the truth; "none": nothing, "chunked": in chunks
    endless    goes on sending zeros after the body
    drip_s     pause after each byte
    hold_after body bytes after which it waits for the end of the test
    """

    body: bytes
    etag: str | None = None
    modified: str | None = None
    ranges: bool = True
    if_range: bool = True
    statuses: list[int] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    length: int | str | None = None
    endless: bool = False
    drip_s: float = 0.0
    hold_after: int | None = None


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    status: int
    range: str | None
    if_range: str | None


class WebServer:
    """`files`: what is served, by path. `asked`: every answer given."""

    def __init__(self) -> None:
        self.files: dict[str, Served] = {}
        self.asked: list[Asked] = []
        self.over = threading.Event()
        self._scheme = "http"
        outer = self

        class Handler(_Handler):
            web = outer

        self._server = _Quiet(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def url(self, path: str = "") -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}/{path}"

    def use_tls(self, certificate: Path, key: Path) -> None:
        """From now on, the connections are encrypted."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._scheme = "https"

    def serve(self, path: str, body: bytes, **how: Any) -> str:
        self.files[f"/{path}"] = Served(body, **how)
        return self.url(path)

    def statuses(self, path: str) -> list[int]:
        return [each.status for each in self.asked if each.path == f"/{path}" and each.method == "GET"]

    def ranges(self, path: str) -> list[str | None]:
        return [each.range for each in self.asked if each.path == f"/{path}" and each.method == "GET"]

    def close(self) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what many tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    web: WebServer

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        self.close_connection = True
        path = self.path.partition("?")[0]
        # As a proxy it is asked for whole addresses.
        path = "/" + path.split("/", 3)[3] if path.startswith("http://") else path
        file = self.web.files.get(path)
        status = 404 if file is None else file.statuses.pop(0) if file.statuses and body else 200
        if file is None or status != 200:
            return self._plain(path, status, file)
        start = self._start(file)
        if start > 0 and start >= len(file.body):
            return self._plain(path, 416, file, {"Content-Range": f"bytes */{len(file.body)}"})
        self._head(path, file, start)
        if body:
            self._body(file, file.body[start:])

    def _start(self, file: Served) -> int:
        told, if_range = self.headers.get("Range"), self.headers.get("If-Range")
        fits = not file.if_range or if_range is None or if_range in (file.etag, file.modified)
        return int(told.removeprefix("bytes=").rstrip("-")) if told and file.ranges and fits else 0

    def _plain(self, path: str, status: int, file: Served | None, more: dict[str, str] | None = None) -> None:
        self._note(path, status)
        self.send_response(status)
        for name, value in {**(file.headers if file else {}), **(more or {}), "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()

    def _head(self, path: str, file: Served, start: int) -> None:
        status, total = (206, len(file.body)) if start else (200, len(file.body))
        self._note(path, status)
        self.send_response(status)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if file.length == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        elif file.length != "none":
            self.send_header("Content-Length", str(total - start if file.length is None else file.length))
        told = {"ETag": file.etag, "Last-Modified": file.modified, **file.headers}
        for name, value in told.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()

    def _body(self, file: Served, data: bytes) -> None:
        if file.cuts:
            data = data[: file.cuts.pop(0)]
            self._send(file, data)
            return
        if file.hold_after is not None:
            self._send(file, data[: file.hold_after])
            self.web.over.wait(60)
            return
        if file.drip_s:
            for byte in data:
                self._send(file, bytes([byte]))
                if self.web.over.wait(file.drip_s):
                    return
        else:
            self._send(file, data)
        while file.endless and not self.web.over.is_set():
            self._send(file, bytes(1 << 16))
        if file.length == "chunked":
            self.wfile.write(b"0\r\n\r\n")

    def _send(self, file: Served, data: bytes) -> None:
        if file.length == "chunked" and data:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self.wfile.write(data)
        self.wfile.flush()

    def _note(self, path: str, status: int) -> None:
        told, if_range = self.headers.get("Range"), self.headers.get("If-Range")
        self.web.asked.append(Asked(self.command, path, status, told, if_range))


def model(**changes: Any) -> dict[str, Any]:
    file = {"name": "net.pkl", "url": "models/net.pkl", "size": len(BODY), "sha256": sha256(BODY).hexdigest()}
    about = {"name": "net", "kind": "generator", "licence": "CC-BY-NC-4.0", "commercial_use": "no"}
    return {**about, "note": "For research only.", "files": [file], **changes}


def index_of(pack: Path | None = None, *models: Any) -> dict[str, Any]:
    made = make_index(pack.parent) if pack else {"schema": "stit.packindex/1"}
    return {**made, "models": list(models)}
