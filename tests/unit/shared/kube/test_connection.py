"""How an API server is found."""

import tempfile
from pathlib import Path

import pytest

from lab.certs import Authority
from lab.kubeconfig import certificate, kubeconfig
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


def test_a_key_in_a_kubeconfig_is_left_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The `kubernetes` package writes it to a file of its own for `ssl`, until the process ends in peace."""
    authority, server = Authority("test"), "https://127.0.0.1:1"
    credentials = certificate(authority.issue_client("alice", []))
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig(server, authority.certificate_pem, "alice", credentials))
    (temporary := tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    for _ in range(2):  # the package remembers the files that it wrote
        assert load(path).server == server
        assert list(temporary.iterdir()) == []
