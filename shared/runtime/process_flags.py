"""The flags that every controller takes, whatever it reconciles.

`COMMON` is what Flux's controllers share (the contract, telemetry.md 5), with Flux's defaults; a controller
changes a default or adds its own flags in its `settings.py`. Feature gates are each controller's own:
`flags.feature_gates` with `COMMON_GATES` and what it has beside them.
"""

from typing import Final

from shared.runtime.flags import Flag

__all__ = ["COMMON", "COMMON_GATES", "PACE"]

# Neither changes anything here: Secrets are watched as the contract says, and cloud identities are not built.
COMMON_GATES: Final = {"ObjectLevelWorkloadIdentity": False, "CacheSecretsAndConfigMaps": False}

_ADDRESSES = "Addresses"
_WATCH = "What is watched"
_WORK = "Work and retries"
_LEADER = "Leader election"
_LOGS = "Logs"
_API = "API server and identities"

# Of the controllers whose objects have an interval and wait for others; `Setting.controller` reads them.
PACE: Final[tuple[Flag, ...]] = (
    Flag(
        "requeue-dependency", "REQUEUE_DEPENDENCY", "30s", "duration",
        "Safety net for an object that waits for another: it is woken by the change itself.", group=_WORK,
    ),
    Flag(
        "interval-jitter-percentage", "INTERVAL_JITTER_PERCENTAGE", 5, "int",
        "Spread of intervals to either side, in percent.", group=_WORK,
    ),
)  # fmt: skip

COMMON: Final[tuple[Flag, ...]] = (
    Flag(
        "metrics-addr", "METRICS_ADDR", ":8080", "address",
        "Where Prometheus metrics are served, as plain HTTP under /metrics.", group=_ADDRESSES,
    ),
    Flag(
        "health-addr", "HEALTH_ADDR", ":9440", "address",
        "Where /healthz (the process lives) and /readyz (it does its work) are served.", group=_ADDRESSES,
    ),
    Flag(
        "events-addr", "EVENTS_ADDR", "", "string",
        "URL of the notification controller, which is told of every event; empty: only Kubernetes events.",
        group=_ADDRESSES,
    ),
    Flag(
        "watch-all-namespaces", "WATCH_ALL_NAMESPACES", True, "bool",
        "Reconcile objects of all namespaces; if false, only of the one in RUNTIME_NAMESPACE.", group=_WATCH,
    ),
    Flag(
        "watch-label-selector", "WATCH_LABEL_SELECTOR", "", "string",
        "Reconcile only objects with matching labels, such as sharding.fluxcd.io/key=shard1.", group=_WATCH,
    ),
    Flag(
        "watch-configs-label-selector", "WATCH_CONFIGS_LABEL_SELECTOR",
        "reconcile.fluxcd.io/watch=Enabled", "string",
        "ConfigMaps and Secrets whose change starts a run.", group=_WATCH,
    ),
    Flag("concurrent", "CONCURRENT", 4, "int", "How many objects of a kind are reconciled at once.",
    group=_WORK), Flag(
        "min-retry-delay", "MIN_RETRY_DELAY", "750ms", "duration",
        "Wait after a first failure; it doubles with each further one.", group=_WORK,
    ),
    Flag("max-retry-delay", "MAX_RETRY_DELAY", "15m", "duration", "Longest wait after failures.",
    group=_WORK), Flag(
        "enable-leader-election", "ENABLE_LEADER_ELECTION", False, "bool",
        "Work only while holding a Lease, so that of several replicas one works.", group=_LEADER,
    ),
    Flag(
        "leader-election-release-on-cancel", "LEADER_ELECTION_RELEASE_ON_CANCEL", True, "bool",
        "Give the Lease back when stopping, so that the next replica need not wait for it to expire.",
        group=_LEADER,
    ),
    Flag(
        "leader-election-lease-duration", "LEADER_ELECTION_LEASE_DURATION", "35s", "duration",
        "How long others wait for a holder that has gone silent.", group=_LEADER,
    ),
    Flag(
        "leader-election-renew-deadline", "LEADER_ELECTION_RENEW_DEADLINE", "30s", "duration",
        "How long the holder tries to renew before it stops the process; less than the lease duration.",
        group=_LEADER,
    ),
    Flag(
        "leader-election-retry-period", "LEADER_ELECTION_RETRY_PERIOD", "5s", "duration",
        "Wait between attempts to acquire, or to renew after a failure.", group=_LEADER,
    ),
    Flag(
        "log-level", "LOG_LEVEL", "info", "string", "What is logged, this and graver.", group=_LOGS,
        choices=("trace", "debug", "info", "error"),
    ),
    Flag(
        "log-encoding", "LOG_ENCODING", "json", "string", "How a log line is written.", group=_LOGS,
        choices=("json", "console"),
    ),
    Flag(
        "default-service-account", "DEFAULT_SERVICE_ACCOUNT", "", "string",
        "Service account to act as where an object names none.", group=_API,
    ),
    Flag(
        "kube-api-qps", "KUBE_API_QPS", 50.0, "float",
        "Requests a second to the API server: here requests in flight are bounded instead.", False, _API,
    ),
    Flag(
        "kube-api-burst", "KUBE_API_BURST", 300, "int",
        "Burst of requests to the API server: here requests in flight are bounded instead.", False, _API,
    ),
    Flag(
        "token-cache-max-size", "TOKEN_CACHE_MAX_SIZE", 100, "int",
        "Cloud tokens to keep; 0 turns the cache off.", False, _API,
    ),
    Flag(
        "token-cache-max-duration", "TOKEN_CACHE_MAX_DURATION", "1h", "duration",
        "How long to keep a cloud token.", False, _API,
    ),
)  # fmt: skip
