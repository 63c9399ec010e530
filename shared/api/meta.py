"""What all kinds share: object metadata, conditions, references, and how a field is described.

**Strict or lenient.** Types and enumerations are enforced when an object is decoded. Patterns, lengths and
CEL rules are for the CRD only: the API server enforces them on every write, while an object that an older
schema let in must still be readable here, so that it can be reported on its own status or deleted. Code that
depends on such a rule checks the value where it uses it (a duration when it is read, a URL when it is
dialled).

**Absent.** As in Go, an empty string, list or map is the same as none, so optional fields have the empty
value of their type and not `None`. The few fields where both differ say so by their type.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self, TypedDict

import msgspec

__all__ = [
    "Condition",
    "InvalidObject",
    "Key",
    "LocalRef",
    "Metadata",
    "Resource",
    "Rule",
    "Status",
    "Struct",
    "about",
]

_CONDITION_TYPE = (
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
    r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
)
_CONDITION_REASON = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"


class InvalidObject(Exception):
    """An object's content breaks the schema. Only a change of that object helps, so its reconcile is stalled.

    Args:
        field_path: from the object's root, such as `spec.dependsOn[0].name`; empty for the object itself.
        message: the fact and the remedy, without the path.
    """

    def __init__(self, field_path: str, message: str) -> None:
        super().__init__(f"{field_path}: {message}" if field_path else message)
        self.field_path = field_path
        self.message = message


class Rule(TypedDict):
    """One entry of `x-kubernetes-validations`: a CEL expression over `self`, and what a violation says."""

    rule: str
    message: str


def about(description: str, *, rules: tuple[Rule, ...] = (), **schema: object) -> msgspec.Meta:
    """Describe a field of a model, for readers of `kubectl explain`.

    Args:
        rules: CEL rules on the value.
        schema: further keywords of the CRD's schema, spelled as there: `pattern`, `minLength`, `default`. A
            `default` is published only if it stands here; the model's own default is then the same value.
    """
    extra: dict[str, Any] = dict(schema)
    if rules:
        extra["x-kubernetes-validations"] = [dict(rule) for rule in rules]
    return msgspec.Meta(description=description, extra_json_schema=extra)


class Struct(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The parent of every model: immutable, `camelCase` on the wire, and unknown fields are ignored.

    Every subclass repeats `frozen=True, kw_only=True`: msgspec inherits the first only, a type checker none.
    """


class Key(NamedTuple):
    """What names an object among all those that we deal with."""

    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, kind: str, raw: Mapping[str, Any]) -> Self:
        """The key of an object of `kind` as the API server sends it."""
        meta = raw["metadata"]
        return cls(kind, meta.get("namespace", ""), meta["name"])

    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}"


class Metadata(Struct, frozen=True, kw_only=True):
    """The part of ObjectMeta that we read. Timestamps are RFC 3339 text, as the API server wrote them."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    finalizers: tuple[str, ...] = ()
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None


class LocalRef(Struct, frozen=True, kw_only=True):
    """A reference to an object in the namespace of the one that refers to it."""

    name: Annotated[
        str, about("Name of the object that is referred to. It is looked up in this object's namespace.")
    ]


class Condition(Struct, frozen=True, kw_only=True):
    """One aspect of an object's state, in the form that all of Kubernetes uses."""

    type: Annotated[
        str,
        about(
            "Which aspect this is about, such as Ready or Stalled. Each type occurs once in the list.",
            pattern=_CONDITION_TYPE,
            maxLength=316,
        ),
    ]
    status: Annotated[
        Literal["True", "False", "Unknown"],
        about("Whether the aspect holds. Unknown means that it is still being found out."),
    ]
    reason: Annotated[
        str,
        about(
            "Why the status is what it is, as one CamelCase word that scripts may compare.",
            pattern=_CONDITION_REASON,
            minLength=1,
            maxLength=1024,
        ),
    ]
    message: Annotated[str, about("The same for people, with the particulars of this case.", maxLength=32768)]
    last_transition_time: Annotated[
        str, about("When status, reason or message last changed, in UTC.", format="date-time")
    ]
    observed_generation: Annotated[
        int,
        about(
            "The metadata.generation that was looked at. If it is lower than the present one, this "
            "condition speaks of an earlier spec.",
            minimum=0,
        ),
    ] = 0


class Status(Struct, frozen=True, kw_only=True):
    """What the status of every reconciled kind has."""

    conditions: Annotated[
        tuple[Condition, ...],
        about("How the object fares, one entry per aspect. Ready sums up; Stalled asks for a person."),
    ] = ()
    observed_generation: Annotated[
        int,
        about(
            "The last metadata.generation that was dealt with to an end. -1 before the first time; while it "
            "is lower than the present generation, the spec's latest change is still to come."
        ),
    ] = -1
    last_handled_reconcile_at: Annotated[
        str,
        about(
            "The value of the annotation reconcile.fluxcd.io/requestedAt that was seen last. Once it equals "
            "the annotation, the reconciliation that was asked for has taken place."
        ),
    ] = ""

    def condition(self, condition_type: str) -> Condition | None:
        """The condition of that type, if there is one."""
        return next((each for each in self.conditions if each.type == condition_type), None)


class Resource(Struct, frozen=True, kw_only=True):
    """The parent of every kind. A subclass adds `spec` and `status`."""

    kind: ClassVar[str]

    metadata: Metadata

    @property
    def key(self) -> Key:
        return Key(self.kind, self.metadata.namespace, self.metadata.name)

    @property
    def deleting(self) -> bool:
        """Whether its deletion was asked for; it then lives only as long as it has finalizers."""
        return self.metadata.deletion_timestamp is not None

    def beside(self, kind: str, name: str, namespace: str = "") -> Key:
        """The key of an object that this one refers to: in its own namespace unless another is given."""
        return Key(kind, namespace or self.metadata.namespace, name)
