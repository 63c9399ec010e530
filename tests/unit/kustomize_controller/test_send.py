"""Sending one object: what is tried again, and what goes by itself once it is sent."""

from typing import cast

import pytest

from kustomize_controller.kustomization.built import BuiltObject
from kustomize_controller.kustomization.contact import Contact
from kustomize_controller.kustomization.send import Sender
from kustomize_controller.kustomization.vanish import vanishes
from shared.kube import errors
from shared.kube.client import Client
from shared.kube.discovery import Resource

JOBS = Resource("batch", "v1", "Job", "jobs", namespaced=True)
MODIFIED = errors.Conflict(409, "Conflict", "the object has been modified")


def built(body: bytes, kind: str = "Job") -> BuiltObject:
    return BuiltObject(
        group="batch", version="v1", kind=kind, namespace="a", name="b", body=body, digest="", steering={},
        origin="",
    )  # fmt: skip


class Busy:
    """Stands for a client whose first requests meet a conflict; knows what it was asked."""

    def __init__(self, conflicts: int) -> None:
        self.conflicts = conflicts
        self.asked: list[str] = []

    async def request(self, method: str, path: str, **how: object) -> bytes:
        assert how
        self.asked.append(f"{method} {path}")
        if len(self.asked) <= self.conflicts:
            raise MODIFIED
        return b'{"metadata": {"name": "b", "uid": "u1"}}'


def left() -> None:
    raise AssertionError("it was to be deleted")


def sender(client: Busy, *, force: bool) -> Sender:
    nobody = cast(Contact, None)  # not asked: whether force is meant is known without a look
    return Sender(
        client=cast(Client, client), contact=nobody, identity=None, force=force, is_current=lambda: True
    )


async def test_a_conflict_that_is_over_at_once_is_no_reason_to_delete() -> None:
    client = Busy(conflicts=1)
    meta = await sender(client, force=True).apply(built(b"{}"), JOBS, leaving=left)
    assert meta.uid == "u1"
    assert client.asked == ["PATCH /apis/batch/v1/namespaces/a/jobs/b"] * 2


async def test_a_conflict_that_stays_is_told() -> None:
    """Also to a new object: no deletion either."""
    client = Busy(conflicts=9)
    content = built(b'{"metadata": {"name": "b"}}')
    with pytest.raises(errors.Conflict, match="has been modified; force does not delete it"):
        await sender(client, force=True).apply(content, JOBS, leaving=left)
    assert client.asked[-1] == "PATCH /apis/batch/v1/namespaces/a/jobs/b-headrace-dry-run"


VANISHING: dict[str, tuple[BuiltObject, bool]] = {
    "a Job with a TTL": (built(b'{"spec": {"ttlSecondsAfterFinished": 60}}'), True),
    "at once": (built(b'{"spec": {"ttlSecondsAfterFinished": 0}}'), True),
    "without one": (built(b'{"spec": {"backoffLimit": 1}}'), False),
    "null is without": (built(b'{"spec": {"ttlSecondsAfterFinished": null}}'), False),
    "no number": (built(b'{"spec": {"ttlSecondsAfterFinished": "soon"}}'), False),
    "no spec": (built(b"{}"), False),
    "a CronJob": (built(b'{"spec": {"ttlSecondsAfterFinished": 60}}', "CronJob"), False),
}


@pytest.mark.parametrize(("content", "goes"), VANISHING.values(), ids=VANISHING)
def test_what_vanishes(content: BuiltObject, goes: bool) -> None:
    assert vanishes(content) is goes
