"""A fetch that takes longer than spec.timeout, in a child that never answers."""

import sys

import pytest

from shared.git.auth import Credentials
from shared.git.refs import RefSpec
from shared.runtime import metrics
from shared.runtime.child import Child, Pool
from source_controller.gitrepository.checkout import Checkout, CheckoutFailed
from source_controller.worker import Where

SILENT = [sys.executable, "-S", "-c", "import sys; sys.stdin.read()"]


async def test_a_fetch_beyond_its_time_is_told_and_counted() -> None:
    def count() -> float:
        name = "controller_runtime_reconcile_timeouts_total"
        return metrics.REGISTRY.get_sample_value(name, {"controller": "gitrepository"}) or 0.0

    before = count()
    pool = Pool([Child(SILENT, name="silent")])
    where = Where(
        url="https://git.example/x", credentials=Credentials(), want=RefSpec(), timeout_s=1, cache=""
    )
    try:
        with pytest.raises(CheckoutFailed, match=r"not done within spec\.timeout \(0\.1s\)") as failed:
            await Checkout(pool).resolve(where, timeout_s=0.1, is_current=lambda: True)
    finally:
        await pool.close()
    assert failed.value.reason == "GitOperationFailed"
    assert count() == before + 1
