"""Free ports on loopback, for servers that must be told their port before they start."""

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Below Linux's ephemeral range (32768..60999): no outgoing connection takes the port before the server.
_FIRST, _LAST = 20000, 32000

_given: set[int] = set()
_lock = threading.Lock()
_random = random.SystemRandom()  # two test runs at once must not walk the same sequence


def free_port() -> int:
    """A port that nobody listens on now and that this process has not been given before."""
    with _lock:
        for _ in range(1000):
            port = _random.randint(_FIRST, _LAST)
            if port not in _given and _is_free(port):
                _given.add(port)
                return port
    raise RuntimeError(f"no free port between {_FIRST} and {_LAST} on 127.0.0.1 after 1000 tries")


@contextmanager
def refusing_port() -> Iterator[int]:
    """A port that refuses connections until the end of the block: bound, not listened at, and so nobody
    else's either."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
