"""A controller in the lab can be killed, restarted and measured; what outlives it is seen, then ended."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lab.controllers import Controller
from lab.processes import ProcessFailed
from lab.usage import is_alive
from tests.harness.wait import eventually

# A module that is ready once it has burned some CPU and started a child, which outlives it.
PROBE = """
import http.server, json, os, signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; memory = b'x' * 50_000_000; time.sleep(600)"])
while time.process_time() < 0.3:
    pass
print(json.dumps({"msg": "started", "child": child.pid, "proxy": os.environ.get("HTTP_PROXY")}), flush=True)
print("no JSON", flush=True)
class Ok(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *_):
        pass
address = next(a for a in sys.argv if a.startswith("--health-addr=")).partition("=")[2]
assert "--mine" in sys.argv
code = int(os.environ.get("EXIT", "0"))
signal.signal(signal.SIGTERM, lambda *_: os._exit(code) if code < 256 else None)
host, port = address.split(":")
http.server.HTTPServer((host, int(port)), Ok).serve_forever()
"""


def a_probe(folder: Path, **environment: str) -> Controller:
    (folder / "probe.py").write_text(PROBE)
    return Controller(
        "probe",
        folder / "kubeconfig",
        flags=["--mine"],
        environment={"PYTHONPATH": str(folder), **environment},
        folder=folder,
    )


@pytest.fixture
def probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Controller:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    return a_probe(tmp_path)


def test_kill_restart_stop(probe: Controller, run_controller: Callable[[Controller], Controller]) -> None:
    run_controller(probe)
    first = probe.pid
    assert probe.lines()[0]["proxy"] is None
    assert probe.lines()[1] == {"msg": "no JSON"}
    child = probe.lines()[0]["child"]
    assert probe.living() == sorted([first, child])
    probe.kill()
    assert probe.living() == [child]  # an orphan is not hidden by the lab
    probe.restart()
    assert not is_alive(child)
    assert probe.pid != first
    assert len(probe.lines()) == 4
    last = probe.living()
    probe.stop()
    assert [pid for pid in last if is_alive(pid)] == []


@pytest.mark.parametrize(("code", "said"), [("3", "ended with 3"), ("256", "was killed after 0.5 s")])
def test_a_controller_that_does_not_stop_well_is_told_of(
    code: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.controllers.STOP_S", 0.5)
    probe = a_probe(tmp_path, EXIT=code).start()
    last = probe.living()
    with pytest.raises(ProcessFailed, match=said):
        probe.stop()
    assert [pid for pid in last if is_alive(pid)] == []


def test_usage_counts_children(probe: Controller, run_controller: Callable[[Controller], Controller]) -> None:
    used = run_controller(probe).usage()
    assert used.processes == 2
    assert 0.3 <= used.cpu_s < 10
    eventually(lambda: probe.usage().peak_rss_bytes > 55_000_000, 10, "the child's memory is counted")


def test_a_controller_that_cannot_start_shows_why(tmp_path: Path) -> None:
    with pytest.raises(ProcessFailed, match="No module named no_such_package"):
        Controller("no_such_package", tmp_path / "kubeconfig", folder=tmp_path).start()
