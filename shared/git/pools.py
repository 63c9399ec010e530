"""Connection pools of urllib3: direct, through an HTTP proxy, or through SOCKS.

An HTTP proxy is asked for a tunnel to an https server, and gets whole requests for an http one, as Go does.
"""

import socket
import ssl

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from shared.git.dial import CONNECT_TIMEOUT_S, connect
from shared.git.proxy import Proxy


def manager(proxy: Proxy | None, context: ssl.SSLContext | None, *, timeout_s: float) -> urllib3.PoolManager:
    """Pools for one Git server.

    Args:
        context: what TLS trusts; None where it is not spoken.
        timeout_s: the longest silence on a connection.
    """
    timeout = urllib3.Timeout(connect=min(CONNECT_TIMEOUT_S, timeout_s), read=timeout_s)
    if proxy is None or proxy.scheme == "socks5":
        pools = urllib3.PoolManager(num_pools=2, retries=False, timeout=timeout, ssl_context=context)
        if proxy is not None:
            pools.pool_classes_by_scheme = _socks_pools(proxy, timeout_s)
        return pools
    headers = None
    if proxy.username:
        headers = urllib3.make_headers(proxy_basic_auth=f"{proxy.username}:{proxy.password}")
    return urllib3.ProxyManager(
        proxy.address,
        num_pools=2,
        proxy_headers=headers,
        # The system's authorities vouch for the proxy: those of the Secret are for the server, and so is a
        # client certificate.
        proxy_ssl_context=ssl.create_default_context() if proxy.scheme == "https" else None,
        retries=False,
        timeout=timeout,
        ssl_context=context,
    )


def _socks_pools(proxy: Proxy, timeout_s: float) -> dict[str, type[urllib3.HTTPConnectionPool]]:
    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return connect(self._dns_host, self.port or 80, proxy, timeout_s=timeout_s)

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return connect(self._dns_host, self.port or 443, proxy, timeout_s=timeout_s)

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
