"""Which error an answer becomes; above all, when an object counts as gone (reliability F26)."""

import json

import pytest

from shared.kube import errors


def status(code: int, reason: str, message: str = "told", **details: object) -> bytes:
    body = {"kind": "Status", "code": code, "reason": reason, "message": message, "details": details}
    return json.dumps(body).encode()


CASES: dict[str, tuple[int, bytes, type[errors.ApiError], str]] = {
    "that object is not there": (404, status(404, "NotFound", name="web"), errors.NotFound, "told"),
    "that kind is not served": (404, status(404, "NotFound"), errors.ApiError, "told"),
    "a gateway's page": (404, b"<html>404</html>", errors.ApiError, "HTTP 404 without an explanation"),
    "an unknown path": (404, status(404, "", "page not found"), errors.ApiError, "page not found"),
    "an empty 404": (404, b"", errors.ApiError, "HTTP 404 without an explanation"),
    "a precondition failed": (409, status(409, "Conflict"), errors.Conflict, "told"),
    "too old a version": (410, status(410, "Expired"), errors.Gone, "told"),
    "no right": (403, status(403, "Forbidden"), errors.Forbidden, "told"),
    "bad credentials": (401, status(401, "Unauthorized"), errors.Unauthorized, "told"),
    "it breaks the schema": (422, status(422, "Invalid"), errors.Invalid, "told"),
    "not an object": (400, status(400, "BadRequest"), errors.Invalid, "told"),
    "slow down": (429, status(429, "TooManyRequests"), errors.TooManyRequests, "told"),
    "an object that does not fit": (500, status(500, "", ".data: expected map, got &{hunter2}"),
                                    errors.InternalError, ".data: expected map, got another value"),
    "a number where a text belongs": (
        500, status(500, "", ".data.x: expected string, got &value.valueUnstructured{Value:4711}"),
        errors.InternalError, ".data.x: expected string, got another value",
    ),
    "a webhook that cannot be called": (500, status(500, "InternalError"), errors.InternalError, "told"),
    "the server is ill": (503, b"upstream", errors.ServerError, "HTTP 503 without an explanation"),
    "another object in the body": (500, b'{"kind":"Pod","message":"x"}', errors.ServerError,
                                   "HTTP 500 without an explanation"),
}  # fmt: skip


@pytest.mark.parametrize(("code", "body", "kind", "message"), CASES.values(), ids=CASES)
def test_from_response(code: int, body: bytes, kind: type[errors.ApiError], message: str) -> None:
    made = errors.from_response(code, body)
    assert type(made) is kind
    assert str(made) == message


def test_the_wait_asked_for_is_kept() -> None:
    assert errors.from_response(429, status(429, "x", retryAfterSeconds=3)).retry_after_s == 3
    assert errors.from_response(503, b"", "7").retry_after_s == 7
    assert errors.from_response(503, b"", "tomorrow").retry_after_s is None


def test_a_long_message_is_cut() -> None:
    assert len(str(errors.from_response(422, status(422, "Invalid", "x" * 10_000)))) == 4096
