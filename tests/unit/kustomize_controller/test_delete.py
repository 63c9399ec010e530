"""A Kustomization that cannot be read is deleted: whether it may go."""

from typing import Any

import pytest

from kustomize_controller.kustomization.delete import keep_unreadable
from shared.api.kinds import InvalidObject
from shared.runtime.outcome import Stalled

ERROR = InvalidObject("spec.interval", "is an integer; write a string")
MAY_GO: dict[str, dict[str, Any]] = {
    "it never ran": {},
    "it never got as far as an apply": {"status": {"observedGeneration": -1}},
    "all that it applied has left": {"status": {"inventory": {"entries": []}}},
}
KEPT: dict[str, object] = {
    "it applied an object": {"entries": [{"id": "shop_web_apps_Deployment", "v": "v1"}]},
    "its inventory is no list of entries": "shop_web_apps_Deployment",
    "an entry is half written": {"entries": [{"id": "shop_web_apps_Deployment"}]},
}


@pytest.mark.parametrize("raw", MAY_GO.values(), ids=MAY_GO)
def test_what_holds_nothing_may_go(raw: dict[str, Any]) -> None:
    keep_unreadable(raw, ERROR)


@pytest.mark.parametrize("inventory", KEPT.values(), ids=KEPT)
def test_what_may_hold_something_is_kept(inventory: object) -> None:
    with pytest.raises(Stalled, match=r"spec\.interval: is an integer.*remove the finalizer"):
        keep_unreadable({"status": {"inventory": inventory}}, ERROR)
