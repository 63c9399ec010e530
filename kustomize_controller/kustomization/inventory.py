"""`status.inventory` to and from entries. Pure."""

from collections.abc import Iterable
from typing import Any

from kustomize_controller.kustomization.decide import Entry
from shared.api.kustomization import Inventory
from shared.api.objects import ObjectId


def entries_of(inventory: Inventory | None) -> tuple[Entry, ...]:
    """The entries, in their order.

    Raises:
        InvalidId: an entry that we do not understand. It may name an object that must not be forgotten.
    """
    if inventory is None:
        return ()
    return tuple(Entry(ObjectId.from_inventory(one.id), one.v) for one in inventory.entries)


def status_of(entries: Iterable[Entry]) -> dict[str, Any]:
    """The JSON value of `status.inventory`."""
    return {"entries": [{"id": entry.id.inventory_id, "v": entry.version} for entry in entries]}
