"""What `up` prints for a shell, and where the state of a checkout's lab is kept."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from lab.stack import Place
from lab.state import AlreadyRunning, Hold, Running, find, state_file
from lab.up import exports

PLACE = Place(kubeconfig=Path("/a b/admin"), git_url="http://127.0.0.1:1/shop.git")
LINES = ["export KUBECONFIG='/a b/admin'", "export GIT_URL=http://127.0.0.1:1/shop.git"]


@pytest.mark.parametrize(
    ("has_kubectl", "environ", "lines"),
    [
        (True, {"HEADRACE_TOOLS_DIR": "/tools"}, LINES),
        (False, {"HEADRACE_TOOLS_DIR": "/my tools"}, [*LINES, "export PATH=\"$PATH\":'/my tools'"]),
        (False, {}, LINES),
    ],
    ids=["kubectl is installed", "kubectl is only ours", "started without ./run"],
)
def test_exports(
    has_kubectl: bool,
    environ: Mapping[str, str],
    lines: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if has_kubectl:
        (tmp_path / "kubectl").touch(mode=0o755)
    assert exports(PLACE, environ) == lines


def test_the_state_file_is_in_the_state_folder(tmp_path: Path) -> None:
    file = state_file({"XDG_STATE_HOME": str(tmp_path)})
    assert file.parent == tmp_path / "headrace"
    assert state_file({"XDG_STATE_HOME": "relative"}).parent == Path.home() / ".local/state/headrace"


def test_a_state_counts_only_while_it_is_held(tmp_path: Path) -> None:
    file = tmp_path / "new" / "lab.json"
    assert find(file) is None
    starting = Running(pid=1, folder=tmp_path, place=None)
    hold = Hold(file)
    hold.write(starting)
    assert find(file) == starting
    running = Running(pid=1, folder=tmp_path, place=PLACE)
    hold.write(running)
    assert find(file) == running
    with pytest.raises(AlreadyRunning, match=r"lab\.json' is held"):
        Hold(file)
    hold.release()
    assert file.exists()
    assert find(file) is None
    Hold(file).release()
