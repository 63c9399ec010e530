"""How an API server is found."""

from pathlib import Path

import pytest

from shared.kube.connection import NoConnection, load


def test_in_a_pod_nothing_is_printed_beside_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without a kubeconfig the pod's own credentials are tried; here there are none."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(NoConnection, match="no API server to talk to"):
        load(None)
    assert capfd.readouterr() == ("", "")
