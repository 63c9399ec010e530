"""What a URL and a Secret that do not go together are told as."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from shared.api.kinds import GIT_REPOSITORY, decode
from source_controller.gitrepository.checkout import CheckoutFailed
from source_controller.gitrepository.reach import Reach
from source_controller.worker import CHECKOUT

# URL, what the Secret holds; reason and the message's first words (behaviour-source.md 2 and last section).
CASES: dict[str, tuple[str, dict[str, bytes], str, str]] = {
    "a password without a user": (
        "https://git.example/x",
        {"password": b"p"},
        "AuthenticationFailed",
        "failed to configure authentication options: ",
    ),
    "a token beside the URL's user": (
        "https://me@git.example/x",
        {"bearerToken": b"t"},
        "GitOperationFailed",
        CHECKOUT + "basic auth and bearer token cannot be set at the same time",
    ),
}


@pytest.mark.parametrize(("url", "data", "reason", "text"), CASES.values(), ids=CASES)
async def test_how_it_is_told(url: str, data: dict[str, bytes], reason: str, text: str) -> None:
    async def read(namespace: str, name: str) -> Mapping[str, bytes]:
        return data

    raw = {
        "metadata": {"name": "app", "namespace": "ns"},
        "spec": {"url": url, "interval": "1m", "secretRef": {"name": "login"}},
    }
    with pytest.raises(CheckoutFailed) as failed:
        await Reach(read, Path("/nowhere")).where(decode(GIT_REPOSITORY, raw))
    assert (failed.value.reason, failed.value.stalled) == (reason, False)
    assert failed.value.message.startswith(text)
