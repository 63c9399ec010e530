"""Folders of the kustomize controller: named by flags, or made up and then claimed."""

from pathlib import Path

from kustomize_controller.settings import read


def test_only_folders_that_we_made_up_are_claimed() -> None:
    """A volume of a pod, which a flag names, belongs to root and is writable for a group."""
    ours = read([], {})
    assert ours.made_up == {"cache-path": ours.cache_path, "state-path": ours.state_path}
    half = read(["--cache-path=cache"], {})
    assert half.cache_path == Path("cache").absolute()
    assert half.made_up == {"state-path": ours.state_path}
    named = read(["--state-path=/state"], {"CACHE_PATH": "/cache/artifacts"})
    assert (named.state_path, named.cache_path, named.made_up) == (
        Path("/state"),
        Path("/cache/artifacts"),
        {},
    )
