"""JSON merge patches (RFC 7386): the smallest one that turns a document into another. Pure."""

from collections.abc import Mapping
from typing import Any


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The merge patch from `old` to `new`; {} when they are equal. Lists are replaced whole, as the RFC has
    it.

    `new` must not contain None: a merge patch cannot set a null.
    """
    patch: dict[str, Any] = {name: None for name in old if name not in new}
    for name, value in new.items():
        if name not in old:
            patch[name] = value
        elif isinstance(value, Mapping) and isinstance(old[name], Mapping):
            if below := difference(old[name], value):
                patch[name] = below
        elif value != old[name]:
            patch[name] = value
    return patch
