"""What an API server, or the way to it, can answer instead of what was asked for.

Made in one place (`from_response`) out of the HTTP status and the `Status` object in the body; a body that
is not a `Status` (a gateway's HTML page, an empty body) is dropped, so that nothing foreign reaches a log
by accident.

`NotFound` is raised only for a `Status` with reason NotFound. A 404 of another shape is `ApiError`: "the
path is unknown here" is not "the object is gone" (reliability F26).
"""

import re

import msgspec


class KubeError(Exception):
    """Base of all errors of this package."""


class Unreachable(KubeError):
    """No answer: refused, reset, timed out, name not resolved, TLS. Whether a write was done is not known."""


class Silent(Unreachable):
    """A watch said nothing for longer than it was waited for."""


class ApiError(KubeError):
    """The API server answered with an error.

    Attributes:
        status: the HTTP status.
        reason: `Status.reason`, e.g. `Forbidden`; "" when the body was no `Status`.
        message: `Status.message`, or a plain phrase.
        retry_after_s: what the server asks for, or None.
    """

    def __init__(self, status: int, reason: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after_s = retry_after_s


class NotFound(ApiError):
    """That very object is not there."""


class Conflict(ApiError):
    """A precondition failed or another manager owns a field."""


class Gone(ApiError):
    """The resourceVersion asked for is too old: list again."""


class Forbidden(ApiError):
    """The identity has no right to do this."""


class Unauthorized(ApiError):
    """The credentials are not accepted (any more)."""


class Invalid(ApiError):
    """The object breaks its schema or a rule; only a changed object can help."""


class TooManyRequests(ApiError):
    """The server asks to wait."""


class ServerError(ApiError):
    """5xx: later may be better."""


class InternalError(ApiError):
    """500 with an explanation: it is about this very request. So answers server-side apply to an object that
    does not fit its schema, and to one whose admission webhook cannot be called."""


# Not about the object that was asked for or sent, but about the server or the way to it.
ABSENT = (Unreachable, ServerError, Unauthorized, TooManyRequests)


class NoMatch(KubeError):
    """The API server serves no such kind (now). Not a proof that objects of it are gone."""

    def __init__(self, kind: str, api_version: str) -> None:
        super().__init__(f'no matches for kind "{kind}" in version "{api_version}"')
        self.kind = kind
        self.api_version = api_version


class _Details(msgspec.Struct):
    name: str = ""
    retryAfterSeconds: float | None = None  # noqa: N815  # as on the wire


class _Status(msgspec.Struct):
    kind: str = ""
    reason: str = ""
    message: str = ""
    code: int = 0
    details: _Details | None = None


_BY_STATUS: dict[int, type[ApiError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}
# "expected map, got &value.valueUnstructured{…}": server-side apply repeats the value, maybe a Secret's.
_VALUE = re.compile(r"got &[\w.]*\{.*\}", re.DOTALL)
_LIMIT = 4096  # characters of a message that we keep: an admission webhook may answer with a novel


def from_response(status: int, body: bytes, retry_after: str | None = None) -> ApiError:
    """The error for an answer with HTTP `status` and `body`."""
    try:
        parsed = msgspec.json.decode(body, type=_Status)
    except msgspec.DecodeError:
        parsed = _Status()
    is_status = parsed.kind == "Status"
    reason = parsed.reason if is_status else ""
    message = (
        parsed.message[:_LIMIT] if is_status and parsed.message else f"HTTP {status} without an explanation"
    )
    if status == 500:
        message = _VALUE.sub("got another value", message)
    wait = parsed.details.retryAfterSeconds if is_status and parsed.details else None
    if wait is None and retry_after is not None and retry_after.isdigit():
        wait = float(retry_after)
    if status == 404:  # the comment on the class says why the reason counts
        # An unknown kind is answered with the same reason as an absent object, but it names none.
        named = bool(parsed.details and parsed.details.name)
        made = NotFound if reason == "NotFound" and named else ApiError
    elif status == 500 and is_status:
        made = InternalError
    else:
        made = _BY_STATUS.get(status, ServerError if status >= 500 else ApiError)
    return made(status, reason, message, wait)
