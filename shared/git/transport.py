"""HTTP for Git: requests that send credentials to one origin only, and answers that became our errors.

dulwich speaks the smart protocol; this module is the `_http_request` that its abstract client asks for.
What it does that dulwich's own would not: no proxy from the environment, no credentials to another origin
(a redirect there is refused when there are any), no fall-back to the dumb protocol, and errors that quote
no secret.
"""

import os
import ssl
from collections.abc import Callable, Iterator
from typing import Any, NoReturn
from urllib.parse import urljoin

import urllib3
from dulwich.client import AbstractHttpGitClient

from shared.git import origin, pools
from shared.git.auth import Basic, Bearer, Target, Tls
from shared.git.dial import CONNECT_TIMEOUT_S
from shared.git.errors import (
    AuthError,
    Denied,
    RemoteError,
    RepositoryMissing,
    Unauthorized,
    Unreachable,
    quoted,
    shown,
)

_DISCOVERY = "info/refs?service=git-upload-pack"
_REDIRECTS_MAX = 3
_BODY_LIMIT = 4096  # bytes of an error page that are read
_SCHEMES = ("http", "https")
_PROXY_WANTS = "the proxy wants other credentials: 'username' and 'password' of spec.proxySecretRef's secret"


class SmartHttp(AbstractHttpGitClient):
    """The smart protocol over urllib3 for one URL and one set of credentials; for one thread."""

    def __init__(self, target: Target, *, timeout_s: float) -> None:
        """Prepare; nothing is sent yet.

        Args:
            timeout_s: the longest silence on a connection. The end of the whole is the caller's, who can
            kill us.

        Raises:
            AuthError: certificates or keys do not parse.
        """
        super().__init__(target.url)
        self._origin = origin.of(target.url)
        self._redirected_to: set[origin.Origin] = set()
        self._has_secret = target.credentials.secret
        self._authorization = _authorization(target.credentials.who)
        self.received_bytes = 0  # of response bodies
        self._timeout_s = timeout_s
        self._proxy = target.proxy
        tls = target.credentials.tls
        # To read the system's authorities takes 25 ms: only where TLS is spoken, or a key is to be judged.
        self._plain = self._origin[0] == "http" and tls is None
        self._pool = self._connections(None if self._plain else _ssl_context(tls))

    def _connections(self, context: ssl.SSLContext | None) -> urllib3.PoolManager:
        return pools.manager(self._proxy, context, timeout_s=self._timeout_s)

    def close(self) -> None:
        self._pool.clear()

    def _http_request(
        self,
        url: str,
        headers: dict[str, str] | None = None,
        data: bytes | Iterator[bytes] | None = None,
        raise_for_status: bool = True,  # noqa: ARG002  # dulwich's signature
    ) -> tuple[Any, Callable[[int], bytes]]:
        where = url
        for _ in range(_REDIRECTS_MAX + 1):
            response = self._send(where, headers or {}, data)
            location = response.headers.get("Location")
            if response.status not in (301, 302, 307, 308) or data is not None or not location:
                break
            response.close()  # its body stays unread, so the connection is of no more use
            where = self._redirected(where, location)
        else:
            raise RemoteError(f"more than {_REDIRECTS_MAX} redirects from '{shown(url)}'; correct spec.url")
        if response.status != 200:
            _refuse(where, response)
        self._check_content(where, response)
        response.content_type = response.headers.get("Content-Type")
        response.redirect_location = where if where != url else ""
        return response, self._reader(response)

    def _send(self, url: str, headers: dict[str, str], data: bytes | Iterator[bytes] | None) -> Any:
        sent = {
            "User-Agent": "git/2.0 (headrace)",
            "Accept-Encoding": "identity",
            "Pragma": "no-cache",
        } | headers
        to = origin.of(url)
        if to == self._origin:
            sent |= self._authorization
        elif to not in self._redirected_to:  # a protocol answer may name URLs too
            raise RemoteError(f"refused to go to '{shown(url)}', another origin than spec.url")
        try:
            return self._pool.request(
                "GET" if data is None else "POST",
                url,
                headers=sent,
                body=data,
                redirect=False,
                preload_content=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise Unreachable(f'Get "{_discovery(url)}": {_cause(error)}') from error

    def _redirected(self, before: str, location: str) -> str:
        try:
            after = _joined(before, location)
        except ValueError as error:
            raise RemoteError(
                f"refused a redirect from '{shown(before)}': {error}; correct spec.url"
            ) from error
        to = origin.of(after)
        if self._has_secret and to != self._origin:
            raise RemoteError(
                f"'{shown(before)}' redirects to another origin, '{shown(after)}'; no credentials go there: "
                "set spec.url to the new address"
            )
        if to[0] not in _SCHEMES or (self._origin[0] == "https" and to[0] != "https"):
            raise RemoteError(
                f"refused the redirect from '{shown(before)}' to '{shown(after)}'; correct spec.url"
            )
        if to[0] == "https" and self._plain:  # begun without TLS
            self._pool.clear()
            self._pool = self._connections(_ssl_context(None))
            self._plain = False
        self._redirected_to.add(to)
        return after

    def _check_content(self, url: str, response: Any) -> None:
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            response.close()
            raise RemoteError(
                f"'{shown(url)}' sent Content-Encoding {quoted(encoding)}, which was not asked for"
            )
        content_type = response.headers.get("Content-Type", "")
        if url.endswith(_DISCOVERY) and not content_type.startswith("application/x-git-"):
            response.close()
            raise RemoteError(
                f"'{shown(url)}' answers, but not as a Git server does (Content-Type "
                f"'{quoted(content_type)}'); spec.url must be the address that git clone takes"
            )

    def _reader(self, response: Any) -> Callable[[int], bytes]:
        def read(size: int) -> bytes:
            try:
                data: bytes = response.read(size)
            except urllib3.exceptions.HTTPError as error:
                raise Unreachable(f"the connection broke while receiving: {_cause(error)}") from error
            self.received_bytes += len(data)
            return data

        return read


def _joined(before: str, location: str) -> str:
    """Where a redirect leads, without a user part. Raises: ValueError: it cannot be read in one way only."""
    if not origin.is_plain(location):  # before they are joined: that drops some of it
        raise ValueError("a blank, a backslash or a control character in the new address")
    return origin.without_user(urljoin(before, location))


def _authorization(who: Basic | Bearer | None) -> dict[str, str]:
    match who:
        case Basic(username=username, password=password):
            return urllib3.make_headers(basic_auth=f"{username}:{password}")
        case Bearer(token=token):
            return {"authorization": f"Bearer {token}"}
        case None:
            return {}


def _ssl_context(tls: Tls | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if tls is None:
        return context
    try:
        if tls.ca:
            context.load_verify_locations(cadata=tls.ca)
        if tls.key:
            _load_pair(context, tls)
    except (ssl.SSLError, ValueError) as error:
        raise AuthError(f"the certificates in the secret do not parse: {error}; store PEM texts") from error
    return context


def _load_pair(context: ssl.SSLContext, tls: Tls) -> None:
    """The ssl module reads certificates from files only; one in memory keeps the key off the disk.

    Without a passphrase OpenSSL would ask a person for that of an encrypted key, on the pipe of our protocol.
    """
    descriptor = os.memfd_create("tls")
    try:
        os.write(descriptor, f"{tls.certificate}\n{tls.key}\n".encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password="")
    finally:
        os.close(descriptor)


def _refuse(url: str, response: Any) -> NoReturn:
    try:
        body = quoted(response.read(_BODY_LIMIT).decode("utf-8", "replace"))
    except urllib3.exceptions.HTTPError:
        body = ""
    finally:
        response.close()
    said = f" (the server says: {body})" if body else ""
    match response.status:
        case 401:
            raise Unauthorized(f"authentication required: put valid credentials into spec.secretRef{said}")
        case 403:
            raise Denied(f"authorization failed: the credentials may not read this repository{said}")
        case 404:
            raise RepositoryMissing(
                f"repository not found: correct spec.url, or give credentials that may see it{said}"
            )
        case 407:
            raise Unreachable(_PROXY_WANTS)
        case status:
            asked = f'unexpected requesting "{_discovery(url)}" status code: {status}'
            raise RemoteError(f"unexpected client error: {asked}{said}")


def _discovery(url: str) -> str:
    return f"{shown(url)}?service=git-upload-pack" if url.endswith(_DISCOVERY) else shown(url)


def _cause(error: urllib3.exceptions.HTTPError) -> str:
    """What went wrong on the wire, in words, without the object addresses that urllib3 prints."""
    inner = error.args[-1] if isinstance(error, urllib3.exceptions.ProtocolError) and error.args else error
    match error:
        case urllib3.exceptions.ProxyError():
            return _proxy_cause(error.original_error)
        case urllib3.exceptions.NameResolutionError():
            return "the host name does not resolve; correct spec.url or the cluster's DNS"
        case urllib3.exceptions.NewConnectionError():  # before its parent, the connect time-out
            return f"connection failed: {quoted(str(error).rpartition(': ')[2])}"
        case urllib3.exceptions.ConnectTimeoutError():
            return f"no connection within {CONNECT_TIMEOUT_S:g} s; check address, routes and network policies"
        case urllib3.exceptions.ReadTimeoutError():
            return "no answer in time; the server is slow or unreachable"
        case urllib3.exceptions.SSLError():
            return f"TLS: {quoted(str(inner))}; {_tls_hint(str(inner))}"
        case _:
            return quoted(str(inner)) or type(error).__name__


def _tls_hint(text: str) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return "a private authority goes into the secret as 'ca.crt'"
    return "a server that asks for a client certificate needs 'tls.crt' and 'tls.key' in the secret"


def _proxy_cause(error: Exception) -> str:
    if "407" in str(error):  # http.client's words for an answer to CONNECT
        return _PROXY_WANTS
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return "the proxy's name does not resolve; correct 'address' of spec.proxySecretRef's secret"
    told = _cause(error) if isinstance(error, urllib3.exceptions.HTTPError) else quoted(str(error))
    return f"the proxy of spec.proxySecretRef: {told}"
