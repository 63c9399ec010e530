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
import http.server, json, os, subprocess, sys, time
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
host, port = address.split(":")
http.server.HTTPServer((host, int(port)), Ok).serve_forever()
"""


@pytest.fixture
def probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Controller:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    (tmp_path / "probe.py").write_text(PROBE)
    environment = {"PYTHONPATH": str(tmp_path)}
    return Controller(
        "probe", tmp_path / "kubeconfig", flags=["--mine"], environment=environment, folder=tmp_path
    )


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


def test_usage_counts_children(probe: Controller, run_controller: Callable[[Controller], Controller]) -> None:
    used = run_controller(probe).usage()
    assert used.processes == 2
    assert 0.3 <= used.cpu_s < 10
    eventually(lambda: probe.usage().peak_rss_bytes > 55_000_000, 10, "the child's memory is counted")


def test_a_controller_that_cannot_start_shows_why(tmp_path: Path) -> None:
    with pytest.raises(ProcessFailed, match="No module named no_such_package"):
        Controller("no_such_package", tmp_path / "kubeconfig", folder=tmp_path).start()
