"""Blocking JSON requests to an API server, for tests and scripts that set up or look at a cluster."""

import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

_TIMEOUT_S = 30.0


class ApiRefused(Exception):
    """The API server answered with an error."""

    def __init__(self, method: str, path: str, status: int, body: str) -> None:
        self.status = status
        self.body = body
        super().__init__(f"{method} {path}: {status} {body[:500]}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiClient:
    """Speaks to one API server as one user. Connections are not kept, so any thread may use it."""

    port: int
    authority_pem: bytes = field(repr=False)
    token: str = field(repr=False)

    def text(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        query: Mapping[str, str | int] | None = None,
    ) -> str:
        """The answer's body. Raises ApiRefused for a status from 400 on, OSError when there is no answer."""
        context = ssl.create_default_context(cadata=self.authority_pem.decode())
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=_TIMEOUT_S, context=context)
        target = f"{path}?{urlencode(query)}" if query else path
        headers = {"Authorization": f"Bearer {self.token}", "Accept": accept, "Content-Type": content_type}
        try:
            connection.request(method, target, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        except http.client.HTTPException as error:
            raise ConnectionError(f"{method} {target}: {error!r}") from error
        finally:
            connection.close()
        if answer.status >= 400:
            raise ApiRefused(method, target, answer.status, text)
        return text

    def request(self, method: str, path: str, body: object = None, **query: str | int) -> dict[str, Any]:
        """Send and receive one JSON object; raises as `text` does."""
        answer: dict[str, Any] = json.loads(self.text(method, path, body=body, query=query))
        return answer

    def get(self, path: str, **query: str | int) -> dict[str, Any]:
        return self.request("GET", path, **query)

    def find(self, path: str) -> dict[str, Any] | None:
        """The object at `path`, None when there is none."""
        try:
            return self.get(path)
        except ApiRefused as refusal:
            if refusal.status == 404:
                return None
            raise

    def apply(self, path: str, body: object, *, field_manager: str = "lab") -> dict[str, Any]:
        """Server-side apply of one whole object to its own path, taking over fields of others."""
        answer: dict[str, Any] = json.loads(
            self.text(
                "PATCH",
                path,
                body=body,
                content_type="application/apply-patch+yaml",
                query={"fieldManager": field_manager, "force": "true"},
            )
        )
        return answer

    def merge(self, path: str, patch: object) -> dict[str, Any]:
        """JSON merge patch (RFC 7386)."""
        answer: dict[str, Any] = json.loads(
            self.text("PATCH", path, body=patch, content_type="application/merge-patch+json")
        )
        return answer
