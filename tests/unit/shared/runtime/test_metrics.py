"""Metric names, labels and values as a scrape shows them."""

import re

from prometheus_client.parser import text_string_to_metric_families

from shared.api.meta import Key
from shared.runtime import metrics


def sample(metric: str, /, **labels: str) -> float | None:
    return metrics.REGISTRY.get_sample_value(metric, labels)


def lines_of(key: Key) -> dict[str, str]:
    """The scraped lines of one object: name and labels that vary → value."""
    found = {}
    for line in metrics.render().decode().splitlines():
        if f'kind="{key.kind}"' in line and f'name="{key.name}",namespace="{key.namespace}"' in line:
            name, value = line.rsplit(" ", 1)
            bound = re.search(r'le="([^"]+)"', name)
            found[bound[1] if bound else name.partition("{")[0]] = value
    return found


def test_a_reconcile_is_counted_under_flux_and_controller_runtime_names() -> None:
    key = Key("Kustomization", "apps", "web")
    metrics.started("Kustomization", workers=4)
    before = sample("controller_runtime_reconcile_total", controller="kustomization", result="error")
    errors = sample("controller_runtime_reconcile_errors_total", controller="kustomization")
    assert before is not None
    assert errors is not None
    metrics.reconciled(key, "error", 0.2)
    lines = lines_of(key)
    assert lines["gotk_reconcile_duration_seconds_count"] == "1"
    assert lines["gotk_reconcile_duration_seconds_sum"] == "0.2"
    assert (
        sample("controller_runtime_reconcile_total", controller="kustomization", result="error") == before + 1
    )
    assert sample("controller_runtime_reconcile_errors_total", controller="kustomization") == errors + 1
    assert sample("controller_runtime_max_concurrent_reconciles", controller="kustomization") == 4


def test_series_of_an_object_end_with_it_and_begin_anew() -> None:
    key = Key("GitRepository", "apps", "gone")
    metrics.reconciled(key, "success", 0.1)
    metrics.forget(key)
    assert lines_of(key) == {}
    metrics.forget(key)
    metrics.reconciled(key, "success", 0.1)
    assert lines_of(key)["gotk_reconcile_duration_seconds_count"] == "1"


def test_buckets_of_the_duration_are_flux_s_and_cumulative() -> None:
    key = Key("Kustomization", "apps", "buckets")
    for duration_s in (0.001, 0.01, 0.02, 2.0, 1800.0, 9999.0):
        metrics.reconciled(key, "success", duration_s)
    lines = lines_of(key)
    bounds = {f"{float(bound):.2f}": value for bound, value in lines.items() if bound[0].isdigit()}
    assert bounds == {
        "0.01": "2", "0.04": "3", "0.15": "3", "0.56": "3", "2.17": "4",
        "8.31": "4", "31.88": "4", "122.30": "4", "469.19": "4", "1800.00": "5",
    }  # fmt: skip
    assert lines["+Inf"] == lines["gotk_reconcile_duration_seconds_count"] == "6"


def test_other_programs_can_read_the_text() -> None:
    metrics.reconciled(Key("Kustomization", "apps", "read"), "success", 0.3)
    families = {family.name: family for family in text_string_to_metric_families(metrics.render().decode())}
    read = [
        one for one in families["gotk_reconcile_duration_seconds"].samples if one.labels["name"] == "read"
    ]
    assert len(read) == 13
    assert families["controller_runtime_reconcile"].type == "counter"


def test_a_queue_is_asked_at_the_scrape() -> None:
    waiting = ["a", "b"]
    queue = metrics.QueueMetrics("bucket", depth=lambda: len(waiting))
    labels = {"name": "bucket", "controller": "bucket"}
    assert sample("workqueue_depth", priority="0", **labels) == 2
    queue.added()
    queue.retried()
    queue.began("a", waited_s=0.5)
    waiting.pop()
    assert sample("workqueue_depth", priority="0", **labels) == 1
    unfinished = sample("workqueue_unfinished_work_seconds", **labels)
    assert unfinished is not None
    assert unfinished > 0
    queue.ended("a")
    assert sample("workqueue_unfinished_work_seconds", **labels) == 0
    assert sample("workqueue_work_duration_seconds_count", **labels) == 1
    assert sample("workqueue_queue_duration_seconds_sum", **labels) == 0.5
    assert sample("workqueue_adds_total", **labels) == sample("workqueue_retries_total", **labels) == 1


def test_the_text_has_what_dashboards_ask_for_and_no_doubles() -> None:
    metrics.requested(200, "10.0.0.1:443", "GET")
    metrics.leading("source-controller-leader-election", held=True)
    metrics.event_dropped("notification", "queue full")
    text = metrics.render().decode()
    for line in (
        'rest_client_requests_total{code="200",host="10.0.0.1:443",method="GET"} 1.0',
        'leader_election_master_status{name="source-controller-leader-election"} 1.0',
        'headrace_events_dropped_total{sink="notification",why="queue full"} ',
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
    ):
        assert line in text
    assert "_created" not in text
