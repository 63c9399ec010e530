"""Names of objects: group, kind, namespace, name, and the two ways in which Flux spells them.

An `ObjectId` leaves the version out, as the inventory does: a version bump is not another object.
"""

from typing import NamedTuple, Self


class InvalidId(ValueError):
    """An inventory entry that is not `<namespace>_<name>_<group>_<Kind>`."""


# Their names may contain a colon, which Flux writes as two underscores in an inventory id (cli-utils'
# object metadata).
_COLON_KINDS = frozenset({"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"})
_RBAC = "rbac.authorization.k8s.io"


class ObjectId(NamedTuple):
    """Identity of an object within one cluster. `namespace` is "" for a cluster-scoped one, `group` "" for
    core."""

    group: str
    kind: str
    namespace: str
    name: str

    @property
    def subject(self) -> str:
        """`Kind/namespace/name`, or `Kind/name`: how events and errors name it (contract 7.5)."""
        return f"{self.kind}/{self.namespace}/{self.name}" if self.namespace else f"{self.kind}/{self.name}"

    @property
    def inventory_id(self) -> str:
        """`<namespace>_<name>_<group>_<Kind>` (contract 7.6)."""
        name = self.name
        if self.group == _RBAC and self.kind in _COLON_KINDS:
            name = name.replace(":", "__")
        return f"{self.namespace}_{name}_{self.group}_{self.kind}"

    @classmethod
    def from_inventory(cls, text: str) -> Self:
        """Parse what `inventory_id` gives.

        Raises:
            InvalidId: fewer than four parts.
        """
        try:
            namespace, rest = text.split("_", 1)
            rest, kind = rest.rsplit("_", 1)
            name, group = rest.rsplit("_", 1)
        except ValueError as error:
            raise InvalidId(f"inventory id '{text}' is not <namespace>_<name>_<group>_<Kind>") from error
        if not name or not kind:
            raise InvalidId(f"inventory id '{text}' names no object")
        if group == _RBAC and kind in _COLON_KINDS:
            name = name.replace("__", ":")
        return cls(group, kind, namespace, name)


def join_api_version(group: str, version: str) -> str:
    """(`apps`, `v1`) → `apps/v1`; (``, `v1`) → `v1`."""
    return f"{group}/{version}" if group else version
