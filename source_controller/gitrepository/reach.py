"""How the repository of one GitRepository is reached: its URL and the Secrets that it refers to."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from shared.api.gitrepository import GitRepository, GitRepositoryRef
from shared.git import auth
from shared.git.algorithms import Algorithms
from shared.git.errors import AuthContradicts, AuthError, InvalidUrl, PassphraseMissing, ProxyInvalid
from shared.git.proxy import Proxy, proxy
from shared.git.refs import RefSpec
from shared.kube.errors import ApiError, NotFound
from source_controller.gitrepository.checkout import CheckoutFailed
from source_controller.worker import CHECKOUT, Where

# The longest silence of a server, however large spec.timeout is: a Git server says every few seconds that it
# is still at work (pack-protocol(5), "keep-alive"), and a worker that waits is missing to all other objects.
SILENCE_MAX_S = 60.0

ReadSecret = Callable[[str, str], Awaitable[Mapping[str, bytes]]]


class Reach:
    """Reads the Secrets, each time anew, so that nothing secret is kept.

    Args:
        cache: folder of the objects fetched so far, with a folder per UID.
        algorithms: what the operator allows for SSH.
    """

    def __init__(self, read_secret: ReadSecret, cache: Path, algorithms: Algorithms | None = None) -> None:
        self._read_secret = read_secret
        self._cache = cache
        self._algorithms = algorithms or Algorithms()

    def cache(self, uid: str) -> Path:
        return self._cache / uid

    async def where(self, obj: GitRepository) -> Where:
        """Raises: CheckoutFailed: the URL or a Secret cannot be used."""
        through = await self._proxy(obj)
        secret = obj.spec.secret_ref.name if obj.spec.secret_ref else None
        name = f"{obj.metadata.namespace}/{secret}" if secret else ""
        data = None if secret is None else await self._secret(obj.metadata.namespace, secret)
        if data is not None and auth.has_github_app(data):
            told = f"secretRef '{name}' has github app data but provider is not set to github"
            raise CheckoutFailed("InvalidProviderConfiguration", told)
        target = self._target(obj.spec.url, data, name)
        want = _want(obj.spec.ref)
        return Where(
            url=target.url,
            credentials=target.credentials,
            proxy=through,
            want=want,
            timeout_s=min(obj.spec.timeout_s, SILENCE_MAX_S),
            cache=str(self.cache(obj.metadata.uid)),
            lists_first=want.lists_first and (bool(want.name) or obj.status.artifact is not None),
        )

    async def _proxy(self, obj: GitRepository) -> Proxy | None:
        if obj.spec.proxy_secret_ref is None:
            return None
        namespace, name = obj.metadata.namespace, obj.spec.proxy_secret_ref.name
        told = "failed to configure proxy options: "
        try:
            data = await self._read_secret(namespace, name)
            return proxy(data, for_url=obj.spec.url, secret_name=f"{namespace}/{name}")
        except NotFound as error:
            told += f"failed to get secret '{namespace}/{name}': secrets \"{name}\" not found"
            raise CheckoutFailed("AuthenticationFailed", told) from error
        except ApiError as error:
            told += f"failed to get secret '{namespace}/{name}': {error}"
            raise CheckoutFailed("AuthenticationFailed", told) from error
        except ProxyInvalid as error:
            raise CheckoutFailed("AuthenticationFailed", told + str(error)) from error

    async def _secret(self, namespace: str, name: str) -> Mapping[str, bytes]:
        told = f"failed to get secret '{namespace}/{name}': "
        try:
            return await self._read_secret(namespace, name)
        except NotFound as error:
            told = f'{told}{told}secrets "{name}" not found'
            raise CheckoutFailed("AuthenticationFailed", told) from error
        except ApiError as error:
            raise CheckoutFailed("AuthenticationFailed", told + str(error)) from error

    def _target(self, url: str, data: Mapping[str, bytes] | None, secret_name: str) -> auth.Target:
        try:
            return auth.target(url, data, secret_name=secret_name, algorithms=self._algorithms)
        except InvalidUrl as error:
            raise CheckoutFailed("URLInvalid", str(error)) from error
        except PassphraseMissing as error:
            raise CheckoutFailed("AuthenticationFailed", str(error)) from error
        except AuthContradicts as error:
            raise CheckoutFailed("GitOperationFailed", f"{CHECKOUT}{error}") from error
        except AuthError as error:
            told = f"failed to configure authentication options: {error}"
            raise CheckoutFailed("AuthenticationFailed", told) from error


def _want(ref: GitRepositoryRef | None) -> RefSpec:
    if ref is None:
        return RefSpec()
    return RefSpec(branch=ref.branch, tag=ref.tag, semver=ref.semver, name=ref.name, commit=ref.commit)
