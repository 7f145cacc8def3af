"""A server that speaks S3, on the loopback address."""

import http.server
import threading
import urllib.request
from collections.abc import Iterator
from itertools import count

import pytest

from tests.dataset.stores.bucket import Bucket, Proxy

_NUMBERS = count(1)


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """Its address."""
    pytest.importorskip("obstore")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(moto: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """An empty bucket behind a proxy; the environment leads there."""
    name = f"bucket-{next(_NUMBERS)}"
    urllib.request.urlopen(urllib.request.Request(f"{moto}/{name}", method="PUT")).close()
    made = Bucket(name, "")
    handler = type("Handler", (Proxy,), {"bucket": made, "behind": moto})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as proxy:
        proxy.daemon_threads = True
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,))
        thread.start()
        made.endpoint = f"http://127.0.0.1:{proxy.server_address[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", made.endpoint)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDOFTHETEST")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret-of-the-test")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        yield made
        proxy.shutdown()
        thread.join()
