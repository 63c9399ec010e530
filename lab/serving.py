"""A server of the standard library in a thread of its own, on loopback."""

import socketserver
import threading
from types import TracebackType
from typing import Self


class Serving:
    """What serves until it is stopped; a context manager, or `start` and `stop`. To be inherited from."""

    def __init__(self, server: socketserver.TCPServer, name: str) -> None:
        self._serving = server
        self._name = name

    def start(self) -> Self:
        threading.Thread(target=self._serving.serve_forever, name=self._name, daemon=True).start()
        return self

    def stop(self) -> None:
        self._serving.shutdown()
        self._serving.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        return int(self._serving.server_address[1])
