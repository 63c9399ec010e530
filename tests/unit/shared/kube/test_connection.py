"""How an API server is found."""

import base64
import json
import tempfile
from pathlib import Path

import pytest

from lab.certs import Authority
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
    authority = Authority("test")
    client = authority.issue_client("alice", [])
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        json.dumps(
            {
                "current-context": "test",
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": "alice"}}],
                "clusters": [
                    {
                        "name": "test",
                        "cluster": {"server": "https://127.0.0.1:1"}
                        | _data("certificate-authority", authority.certificate_pem),
                    }
                ],
                "users": [
                    {
                        "name": "alice",
                        "user": _data("client-certificate", client.public_pem)
                        | _data("client-key", client.private_pem),
                    }
                ],
            }
        )
    )
    (temporary := tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    for _ in range(2):  # the package remembers the files that it wrote
        assert load(kubeconfig).server == "https://127.0.0.1:1"
        assert list(temporary.iterdir()) == []


def _data(name: str, pem: bytes) -> dict[str, str]:
    return {f"{name}-data": base64.b64encode(pem).decode()}
