"""Our controllers as the processes they are in production: `python -m PACKAGE` against a kubeconfig.

Each gets ports of its own on loopback, its log in a file, and a folder for all that it stores. It can be
killed and started again with the same flags, as a cluster would do.
"""

import json
import shutil
import signal
import sys
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lab import usage
from lab.ports import free_port
from lab.processes import Command, Process, ProcessFailed, clean_environment

_ROOT = Path(__file__).parent.parent
_START_TIMEOUT_S = 60.0
STOP_S = 25.0  # more than a controller gives itself to stop: who is killed then has hung


class Controller:
    """One controller process; a context manager, or `start` and `stop`.

    Args:
        package: the package to run, such as "source_controller".
        kubeconfig: the cluster, and the user that it acts as.
        flags: further flags, after those that the lab sets.
        environment: further variables; HEADRACE_TOOLS_DIR is passed on anyway.
        folder: an existing folder for log and storage, kept; by default a temporary one, deleted at the end.
    """

    def __init__(
        self,
        package: str,
        kubeconfig: Path,
        *,
        flags: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.package = package
        self._own_folder = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix=f"headrace-{package}-"))
        self.log = self.folder / f"{package}.log"
        self.health_port = free_port()
        self.metrics_port = free_port()
        self._argv = [
            sys.executable,
            "-m",
            package,
            f"--health-addr=127.0.0.1:{self.health_port}",
            f"--metrics-addr=127.0.0.1:{self.metrics_port}",
            *flags,
        ]
        # Whatever they put down for a while goes with the folder, also after a kill.
        extra = {"KUBECONFIG": str(kubeconfig), "PYTHONPATH": str(_ROOT), "TMPDIR": str(self.folder)}
        self._environment = clean_environment(self.folder, extra | dict(environment or {}))
        self._process: Process | None = None
        self._heeds_signals = self._is_expected = False

    @property
    def process(self) -> Process:
        if self._process is None:
            raise RuntimeError(f"{self.package} has not been started")
        return self._process

    @property
    def pid(self) -> int:
        return self.process.pid

    def start(self, *, ready: bool = True) -> Self:
        """Start, and wait for /readyz unless `ready` is False. Raises ProcessFailed with the log's tail."""
        command = Command(
            name=self.package,
            argv=self._argv,
            log=self.log,
            environment=self._environment,
            folder=self.folder,
        )
        self._process = Process(command)
        self._heeds_signals = self._is_expected = False
        if ready:
            self.await_ready()
        return self

    def await_ready(self, timeout_s: float = _START_TIMEOUT_S) -> float:
        """Wait for /readyz; return the seconds that took."""
        took_s = self.process.await_ready(self.why_not_ready, timeout_s)
        self._heeds_signals = True
        return took_s

    def kill(self) -> None:
        """kill -9 of the controller alone; what it started must notice by itself (see `living`)."""
        self.process.kill()

    def await_end(self, timeout_s: float = STOP_S) -> int:
        """Wait until it ends by itself; its exit code, of which `halt` then says nothing more.

        Raises:
            ProcessFailed: it still runs.
        """
        code = self.process.wait(timeout_s)
        self._is_expected = True
        return code

    def restart(self, *, ready: bool = True) -> None:
        """Stop what is left as `halt` does, and start again with the same flags, storage and ports."""
        self.halt()
        self.start(ready=ready)

    def halt(self) -> None:
        """SIGTERM, and wait for its end and that of all that it started. `start` may follow. May be repeated.

        Nothing is said of one that had been killed before, or whose end was awaited.

        Raises:
            ProcessFailed: it did not stop by itself within `STOP_S`, or said by its exit code that something
                went wrong; carries the tail of its log. It has ended all the same.
        """
        if self._process is None:
            return
        expected = self._is_expected or self._process.exit_code() == -signal.SIGKILL
        self._process.stop(grace_s=STOP_S)
        code = self._process.exit_code()
        unheard = code == -signal.SIGTERM and not self._heeds_signals
        if code != 0 and not expected and not unheard:
            how = f"was killed after {STOP_S:g} s" if code == -signal.SIGKILL else f"ended with {code}"
            raise ProcessFailed(f"{self.package}, told to stop, {how}\n{self._process.log_tail()}")

    def stop(self, *, keep_log: bool = False) -> None:
        """As `halt`; the temporary folder goes too, unless `keep_log`."""
        try:
            self.halt()
        finally:
            if self._own_folder and not keep_log:
                shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            with suppress(ProcessFailed):  # the first failure tells more
                self.stop(keep_log=True)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.stop()
            return
        with suppress(ProcessFailed):  # the first failure tells more
            self.stop(keep_log=True)

    def lines(self) -> list[dict[str, Any]]:
        """The log so far, of all starts: an object a line; a line that is no JSON object is {"msg": line}."""
        return [_parsed(line) for line in self.log.read_text(errors="replace").splitlines()]

    def metrics(self) -> str:
        """What /metrics says, in Prometheus' text format."""
        return _get(f"http://127.0.0.1:{self.metrics_port}/metrics")

    def living(self) -> list[int]:
        """Process ids of the controller and of all that it started and that still runs."""
        return usage.living(self.pid)

    def usage(self) -> usage.Usage:
        """CPU and memory since the last start, children included."""
        return usage.measure(self.pid)

    def why_not_ready(self) -> str | None:
        """What keeps /readyz from saying yes; None when it does."""
        url = f"http://127.0.0.1:{self.health_port}/readyz"
        try:
            _get(url)
        except OSError as error:
            return f"{url}: {error}"
        return None


class SourceController(Controller):
    """The source controller with a store and an artifact server of its own; arguments as for Controller."""

    def __init__(
        self,
        kubeconfig: Path,
        *,
        flags: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        address = f"127.0.0.1:{free_port()}"
        stores = [f"--storage-addr={address}", f"--storage-adv-addr={address}", "--storage-path=storage"]
        super().__init__(
            "source_controller", kubeconfig, flags=[*stores, *flags], environment=environment, folder=folder
        )
        self.storage.mkdir(exist_ok=True)

    @property
    def storage(self) -> Path:
        """The store's root; `--storage-path` names it relative to the process's folder."""
        return self.folder / "storage"


def _get(url: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=5) as answer:
        text: str = answer.read().decode()
        return text


def _parsed(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        return {"msg": line}
    return value if isinstance(value, dict) else {"msg": line}
