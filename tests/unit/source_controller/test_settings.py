"""Flags and environment: Flux's defaults, and under which address artifacts are offered."""

import tempfile
from pathlib import Path

import pytest

from shared.runtime.flags import Address
from source_controller.settings import base_url, read

ADDRESSES: dict[str, tuple[str, Address | None, str]] = {
    "no host": ("", Address("", 9090), "http://localhost:9090"),
    "a host": ("", Address("10.0.0.1", 9090), "http://10.0.0.1:9090"),
    "all interfaces": ("", Address("0.0.0.0", 9090), "http://pod-1:9090"),  # noqa: S104
    "an advertised host": (
        "source-controller.ns.svc.",
        Address("", 9090),
        "http://source-controller.ns.svc.",
    ),
    "an advertised URL": ("https://artifacts.example/", Address("", 9090), "https://artifacts.example"),
}


@pytest.mark.parametrize(("advertised", "listening", "url"), ADDRESSES.values(), ids=ADDRESSES)
def test_where_artifacts_are_offered(advertised: str, listening: Address | None, url: str) -> None:
    assert base_url(advertised, listening, {"HOSTNAME": "pod-1"}) == url


def test_the_defaults_are_those_of_flux() -> None:
    """behaviour-source.md 1.6 and 1.10."""
    settings = read([], {})
    assert str(settings.storage_path) == "/data"
    assert settings.storage_addr == Address("", 9090)
    assert (settings.retention.ttl_s, settings.retention.records) == (60.0, 2)
    assert (settings.digest_algorithm, settings.concurrent) == ("sha256", 2)
    assert settings.flags["requeue-dependency"] == 30.0


def test_flags_of_flux_that_change_nothing_are_accepted_and_named() -> None:
    settings = read(["--helm-cache-ttl=1h", "--watch-configs-label-selector=a=b", "--kube-api-qps=5"], {})
    assert set(settings.unheeded) == {"helm-cache-ttl", "watch-configs-label-selector", "kube-api-qps"}


ACCOUNT = "--default-service-account=default"


def test_an_account_for_cloud_identities_needs_its_gate(capsys: pytest.CaptureFixture[str]) -> None:
    """telemetry.md 9. With the gate it is accepted, and changes nothing yet."""
    for argv, environ in (([ACCOUNT], {}), ([], {"DEFAULT_SERVICE_ACCOUNT": "default"})):
        with pytest.raises(SystemExit) as stopped:
            read(argv, environ)
        assert stopped.value.code == 1
        assert "--feature-gates=ObjectLevelWorkloadIdentity=true" in capsys.readouterr().err
    settings = read([ACCOUNT, "--feature-gates=ObjectLevelWorkloadIdentity=true"], {})
    assert set(settings.unheeded) == {
        "default-service-account",
        "feature-gates=ObjectLevelWorkloadIdentity",
    }


def test_algorithms_that_are_not_spoken_are_named() -> None:
    """The others are the only ones that are used."""
    flags = ["--ssh-kex-algos=curve25519-sha256,diffie-hellman-group14-sha1", "--ssh-hostkey-algos=ssh-rsa"]
    settings = read(flags, {})
    assert settings.unheeded == ("diffie-hellman-group14-sha1", "ssh-rsa")
    assert settings.ssh.usable_key_exchanges() == ("curve25519-sha256@libssh.org",)
    assert settings.ssh.usable_host_keys(()) == ()


def test_only_a_folder_that_we_made_up_is_claimed() -> None:
    """A volume of a pod, which a flag names, belongs to root and is writable for a group."""
    ours = read([], {})
    assert ours.made_up == {"git-cache-path": ours.git_cache}
    assert ours.git_cache == Path(tempfile.gettempdir()) / "headrace-git"
    named = read(["--git-cache-path=/cache/git"], {})
    assert (named.git_cache, named.made_up) == (Path("/cache/git"), {})
