"""The body of a creation: an apply with a resourceVersion that no object has."""

import msgspec
import pytest

from shared.kube.apply import unmade

BODIES = {
    "plain": (
        b'{"kind":"A","metadata":{"name":"a"}}',
        b'{"kind":"A","metadata":{"resourceVersion":"1","name":"a"}}',
    ),
    "with blanks": (
        b'{ "metadata" : { "name": "a" } }',
        b'{"metadata":{"resourceVersion":"1", "name": "a" }}',
    ),
    "metadata of something inside": (
        b'{"a":{"metadata":{"name":"x"}},"metadata":{"name":"a"}}',
        b'{"a":{"metadata":{"name":"x"}},"metadata":{"resourceVersion":"1","name":"a"}}',
    ),
    "its own resourceVersion": (
        b'{"metadata":{"name":"a","resourceVersion":"7"}}',
        b'{"metadata":{"name":"a","resourceVersion":"7"}}',
    ),
}


@pytest.mark.parametrize(("body", "sent"), BODIES.values(), ids=BODIES)
def test_a_creation_has_a_precondition(body: bytes, sent: bytes) -> None:
    assert unmade(body) == sent
    msgspec.json.decode(unmade(body))
