"""Download an artifact and believe only its digest.

The archive is written to a file while it is digested; nobody reads that file before the digest matched.
What the server says about length or encoding is not relied on. Repeats are for single requests that failed
on the way; a missing artifact or a wrong digest is the caller's to handle, for the source is about to
publish another.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_exponential, wait_random

from shared.artifacts.digest import Digester, DigestError, digester_for

_CHUNK = 1 << 18


class FetchError(Exception):
    """The artifact did not arrive; the text begins as behaviour-kustomize.md 14, row "download", has it."""


class ArtifactMissing(FetchError):
    """404: the source has removed it, or is not the one that published it."""


class DigestMismatch(FetchError):
    """What arrived is not what status promises."""


class _Passing(FetchError):
    """Later may be better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """What to fetch, and how hard to try."""

    url: str
    digest: str
    limit_bytes: int  # of the archive
    attempts: int = 10  # `--http-retry` 9 and the first
    wait_max_s: float = 30.0


async def fetch(session: aiohttp.ClientSession, download: Download, into: Path) -> int:
    """Write the artifact to `into`; return its bytes. After a failure the file is gone.

    The session decides on time-outs; it must not take proxies from the environment.

    Raises:
        ArtifactMissing: 404. DigestMismatch: other bytes than promised. FetchError: anything else.
    """
    try:
        digester_for(download.digest)
    except DigestError as error:
        raise FetchError(f"failed to verify archive: {error}") from error
    attempts = AsyncRetrying(
        retry=retry_if_exception_type(_Passing),
        stop=stop_after_attempt(download.attempts),
        wait=wait_exponential(multiplier=0.1, max=download.wait_max_s) + wait_random(0, 0.1),
        reraise=True,
    )
    try:
        async for attempt in attempts:
            with attempt:
                return await _once(session, download, into)
    except BaseException:
        await asyncio.to_thread(into.unlink, missing_ok=True)
        raise
    raise AssertionError("tenacity ends with a result or an error")


async def _once(session: aiohttp.ClientSession, download: Download, into: Path) -> int:
    headers = {"Accept-Encoding": "identity"}
    try:
        async with session.get(
            download.url, headers=headers, allow_redirects=False, auto_decompress=False
        ) as response:
            _check(response, download.url)
            digester = await _receive(response, download, into)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise _Passing(f"failed to download archive: {download.url}: {_cause(error)}") from error
    if not digester.matches(download.digest):
        raise DigestMismatch(
            f"failed to verify archive: computed digest doesn't match provided '{download.digest}' "
            "(the source may have published another meanwhile)"
        )
    return digester.size_bytes


def _check(response: aiohttp.ClientResponse, url: str) -> None:
    if response.status == 200:
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            raise FetchError(f"failed to download archive: {url}: unasked Content-Encoding '{encoding[:40]}'")
        return
    told = f"failed to download archive from {url} (status: {response.status})"
    if response.status == 404:
        raise ArtifactMissing(told)
    raise _Passing(told) if response.status >= 500 or response.status == 429 else FetchError(told)


async def _receive(response: aiohttp.ClientResponse, download: Download, into: Path) -> Digester:
    digester = digester_for(download.digest)
    with into.open("wb") as file:
        async for chunk in response.content.iter_chunked(_CHUNK):
            digester.update(chunk)
            if digester.size_bytes > download.limit_bytes:
                raise FetchError(
                    f"failed to download archive: {download.url}: over {download.limit_bytes >> 20} MiB; "
                    "raise --artifact-max-size or leave files out of the source"
                )
            await asyncio.to_thread(file.write, chunk)
    return digester


def _cause(error: Exception) -> str:
    return str(error) or type(error).__name__
