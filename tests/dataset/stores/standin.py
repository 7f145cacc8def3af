"""A bucket that only reads, fast: moto's server answers some hundred requests a second, a store many thousands.

``python standin.py FOLDER LATENCY_S`` serves the files of a folder as the objects of any bucket, each answer so much
later than it was asked for. It prints its port.
"""

import asyncio
import sys
from pathlib import Path
from urllib.parse import unquote


class Connection(asyncio.Protocol):
    """Answers GET and HEAD of whole objects."""

    objects: dict[str, bytes]
    latency_s: float

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.unread = b""

    def data_received(self, data: bytes) -> None:
        *requests, self.unread = (self.unread + data).split(b"\r\n\r\n")
        for request in requests:
            method, path = request.split(b" ", 2)[:2]
            asyncio.get_running_loop().call_later(self.latency_s, self.answer, method, path)

    def answer(self, method: bytes, path: bytes) -> None:
        key = unquote(path.decode()).split("/", 2)[2]
        data = self.objects.get(key)
        if data is None:
            self.transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        head = b'Content-Length: %d\r\nETag: "1"\r\nLast-Modified: Fri, 27 Nov 2026 00:00:00 GMT\r\n' % len(data)
        self.transport.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + (data if method == b"GET" else b""))


async def serve(folder: Path, latency_s: float) -> None:
    """Serve until the process ends."""
    Connection.latency_s = latency_s
    Connection.objects = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), float(sys.argv[2])))
