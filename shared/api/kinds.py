"""The kinds that exist: their names in the API, their columns, their models; and the way in, `decode`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from shared.api.gitrepository import GitRepository
from shared.api.kustomization import Kustomization
from shared.api.meta import InvalidObject, Resource

__all__ = ["GIT_REPOSITORY", "KINDS", "KUSTOMIZATION", "Column", "InvalidObject", "Kind", "decode"]

R_co = TypeVar("R_co", bound=Resource, covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of `kubectl get`. Priority 1 and up shows with `-o wide` only."""

    name: str
    json_path: str
    type: str = "string"
    priority: int = 0


_AGE = Column(name="Age", json_path=".metadata.creationTimestamp", type="date")
_READY = Column(name="Ready", json_path='.status.conditions[?(@.type=="Ready")].status')
_STATUS = Column(name="Status", json_path='.status.conditions[?(@.type=="Ready")].message')


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[R_co]):
    """One kind in its one served version. All kinds are namespaced and have the status subresource."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    short_names: tuple[str, ...]
    categories: tuple[str, ...]
    columns: tuple[Column, ...]
    model: type[R_co]

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}"

    @property
    def crd_name(self) -> str:
        return f"{self.plural}.{self.group}"


GIT_REPOSITORY: Kind[GitRepository] = Kind(
    group="source.toolkit.fluxcd.io",
    version="v1",
    kind="GitRepository",
    plural="gitrepositories",
    singular="gitrepository",
    short_names=("gitrepo",),
    categories=("all", "fluxcd", "fluxcd-sources"),
    columns=(Column(name="URL", json_path=".spec.url"), _AGE, _READY, _STATUS),
    model=GitRepository,
)

KUSTOMIZATION: Kind[Kustomization] = Kind(
    group="kustomize.toolkit.fluxcd.io",
    version="v1",
    kind="Kustomization",
    plural="kustomizations",
    singular="kustomization",
    short_names=("ks",),
    categories=("all", "fluxcd", "fluxcd-appliers"),
    columns=(_AGE, _READY, _STATUS),
    model=Kustomization,
)

KINDS: tuple[Kind[Any], ...] = (GIT_REPOSITORY, KUSTOMIZATION)


def decode(kind: Kind[R_co], raw: Mapping[str, Any]) -> R_co:
    """Turn an object from the API server into its model. `raw` is parsed JSON and stays as it is.

    A status is only what a controller wrote earlier: what cannot be read of it is left out and will be
    written anew. The inventory is the exception, since objects that it names would be forgotten in the
    cluster.

    Raises:
        InvalidObject: names the first field that cannot be read. Other objects of the kind are not concerned,
            so a caller reports it on this object and goes on (reliability A41).
    """
    try:
        return msgspec.convert(raw, kind.model)
    except msgspec.ValidationError:
        return _decode_leniently(kind, raw)


# Losing one of these fields would do harm, so that an object in which they are unreadable is invalid.
_NEVER_LEFT_OUT = frozenset({"inventory"})


def _decode_leniently(kind: Kind[R_co], raw: Mapping[str, Any]) -> R_co:
    """The slow way, for objects that do not fit as they are. Each round removes something, or is the last."""
    parts = _without_nulls(dict(raw))
    while True:
        try:
            return msgspec.convert(parts, kind.model)
        except msgspec.ValidationError as error:
            invalid = _invalid(error)
            root, _, below = invalid.field_path.partition(".")
            field = re.split(r"[.\[]", below, maxsplit=1)[0]
            if root != "status" or field in _NEVER_LEFT_OUT:
                raise invalid from error
            if field:
                parts["status"] = {name: part for name, part in parts["status"].items() if name != field}
            else:
                del parts["status"]


def _without_nulls(part: Any) -> Any:
    """Without the fields that are null: to the API they are the same as absent ones."""
    if isinstance(part, dict):
        return {name: _without_nulls(value) for name, value in part.items() if value is not None}
    if isinstance(part, list):
        return [_without_nulls(value) for value in part]
    return part


# What msgspec says, with ` - at `$.spec.interval`` behind it unless it is about the root.
_MESSAGE = re.compile(r"(?P<fact>.*?)(?: - at `\$\.?(?P<path>.*)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<field>.*)`")
_WRONG_TYPE = re.compile(r"Expected `(?P<wanted>\w+)(?: \| null)?`, got `(?P<got>\w+)`")
_WRONG_VALUE = re.compile(r"Invalid enum value (?P<value>.*)", re.DOTALL)
_TYPES = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a map",
    "null": "null",
}
_MOST_CHARACTERS = 200  # of a value that is quoted: users choose it


def _invalid(error: msgspec.ValidationError) -> InvalidObject:
    """The same in our words, which name types as YAML's users know them."""
    text = str(error)
    outer = _MESSAGE.fullmatch(text)
    fact, path = (outer["fact"], outer["path"] or "") if outer else (text, "")
    if match := _MISSING.fullmatch(fact):
        return InvalidObject(f"{path}.{match['field']}".lstrip("."), "is missing; set it")
    if match := _WRONG_TYPE.fullmatch(fact):
        wanted, got = (_TYPES.get(match[each], match[each]) for each in ("wanted", "got"))
        return InvalidObject(path, f"is {got}; write {wanted}")
    if match := _WRONG_VALUE.fullmatch(fact):
        value = match["value"][:_MOST_CHARACTERS]
        return InvalidObject(path, f"cannot be {value}; write one of the values that `kubectl explain` lists")
    return InvalidObject(path, fact[:_MOST_CHARACTERS])
