"""A bucket of a test: its objects, and a proxy in front of its server that does not always do its work."""

from __future__ import annotations

import http.client
import http.server
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from tomoarrow.dataset.stores.urls import Remote, place_of

#: "cut": half of the answer; "lost": the work is done and nothing is answered.
Fault = Literal["busy", "slow", "cut", "lost", "gone", "denied"]

#: What a server says that knows the key, and not its signature.
DENIED = (
    b"<?xml version='1.0'?><Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>AKIDOFTHETEST</AWSAccessKeyId>"
    b"<StringToSign>AWS4-HMAC-SHA256</StringToSign></Error>"
)


@dataclass
class Bucket:
    """An empty bucket."""

    name: str
    endpoint: str
    asked: list[tuple[str, str]] = field(default_factory=list)
    #: Whose keys the requests were signed with.
    signed_by: set[str] = field(default_factory=set)
    #: What goes wrong with a request, given its method, its path, and how often that was asked for before.
    fault: Callable[[str, str, int], Fault | None] = lambda *_: None

    def url(self, key: str = "") -> str:
        return f"s3://{self.name}/{key}"

    def at(self, key: str = "") -> Remote:
        place = place_of(self.url(key))
        assert isinstance(place, Remote)
        return place

    def put(self, key: str, data: bytes) -> None:
        place = self.at(key)
        place.store.put(place.key, data, "any")

    def put_folder(self, folder: Path, key: str) -> None:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(f"{key}/{path.relative_to(folder).as_posix()}", path.read_bytes())

    def keys(self, key: str = "") -> set[str]:
        return set(self.at(key).files())


class Proxy(http.server.BaseHTTPRequestHandler):
    """Hands requests on, unless the bucket has a fault for them."""

    protocol_version = "HTTP/1.1"
    bucket: Bucket
    behind: str

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        # Who has waited too long does not listen any more.
        with suppress(ConnectionError):
            super().handle()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        method, path = self.command, self.path
        fault = self.bucket.fault(method, path, self.bucket.asked.count((method, path)))
        self.bucket.asked.append((method, path))
        self.bucket.signed_by.update(re.findall(r"Credential=(\w+)/", self.headers.get("Authorization") or ""))
        if fault == "slow":
            time.sleep(1.5)
        if fault == "busy":
            self._send(503, {}, b"<Error><Code>SlowDown</Code></Error>")
        elif fault == "gone":
            self._send(404, {}, b"<Error><Code>NoSuchKey</Code></Error>")
        elif fault == "denied":
            self._send(403, {}, DENIED)
        else:
            behind = http.client.HTTPConnection(urlsplit(self.behind).netloc, timeout=30)
            behind.request(method, path, body, dict(self.headers))
            answer = behind.getresponse()
            data = answer.read()
            behind.close()
            if fault == "lost":
                self.close_connection = True
                return
            self._send(answer.status, dict(answer.headers), data, cut=fault == "cut")

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _answer  # noqa: N815

    def _send(self, status: int, headers: dict[str, str], data: bytes, *, cut: bool = False) -> None:
        self.send_response(status)
        skipped = {"transfer-encoding", "connection", "server", "date"}
        length = headers.get("Content-Length", str(len(data)))
        for name, value in headers.items():
            if name.lower() not in {*skipped, "content-length"}:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            self.close_connection = True
