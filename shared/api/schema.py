"""From a model to the structural OpenAPI v3 schema that a CRD needs.

Kubernetes takes a subset of OpenAPI: no references, no `anyOf` for what may be absent, exactly one type
everywhere. So the schema is built from the model's types here, and not from msgspec's own JSON schema, of
which most would have to be undone. A type that no rule below knows is an error at generation, not a gap in
the CRD.
"""

from typing import Any

from msgspec import inspect

from shared.api.meta import Resource

__all__ = ["Schema", "resource_schema"]

Schema = dict[str, Any]

_OF_EVERY_OBJECT: dict[str, Schema] = {
    "apiVersion": {
        "description": "Group and version of the API in which this object is written.",
        "type": "string",
    },
    "kind": {"description": "What kind of object this is.", "type": "string"},
    "metadata": {"type": "object"},  # the API server puts its own schema here and refuses any other
}

# Readers look for what a field is, then for what may stand in it; its parts come last, as they may be long.
_ORDER = (
    "description",
    "type",
    "format",
    "default",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "x-kubernetes-validations",
    "required",
    "additionalProperties",
    "items",
    "properties",
)


def resource_schema(model: type[Resource]) -> Schema:
    """The schema of a whole object of that kind, described by the first paragraph of the model's docstring.

    `spec` is not required, as in Flux: an object without it is accepted and reported on by its controller.

    Raises:
        TypeError: a field has a type, or a description a keyword, that has no place in a CRD.
    """
    struct = inspect.type_info(model)
    if not isinstance(struct, inspect.StructType):
        raise TypeError(f"{model.__name__} is not a struct")
    own = {field.encode_name: _schema(field.type) for field in struct.fields if field.name != "metadata"}
    return _ordered(
        {
            "description": " ".join((model.__doc__ or "").split("\n\n")[0].split()),
            "type": "object",
            "properties": _OF_EVERY_OBJECT | own,
        }
    )


def _schema(node: inspect.Type) -> Schema:
    match node:
        case inspect.Metadata():
            return _ordered(_schema(node.type) | (node.extra_json_schema or {}))
        case inspect.UnionType():
            return _schema(_present(node))
        case inspect.StrType():
            return {"type": "string"}
        case inspect.BoolType():
            return {"type": "boolean"}
        case inspect.IntType():
            return {"type": "integer", "format": "int64"}
        case inspect.LiteralType():
            return {"type": "string", "enum": list(node.values)}
        case inspect.VarTupleType():
            return {"type": "array", "items": _schema(node.item_type)}
        case inspect.DictType():
            return {"type": "object", "additionalProperties": _schema(node.value_type)}
        case inspect.StructType():
            return _object(node)
        case _:
            raise TypeError(f"a CRD has no schema for {node}; use another type or add a rule for it")


def _present(union: inspect.UnionType) -> inspect.Type:
    """What a value is if there is one: `X` of `X | None`. That it may be absent shows in `required`."""
    kinds = [each for each in union.types if not isinstance(each, inspect.NoneType)]
    if len(kinds) != 1:
        raise TypeError(f"a CRD's field has one type, not one of {kinds}")
    return kinds[0]


def _object(struct: inspect.StructType) -> Schema:
    fields = sorted(struct.fields, key=lambda field: field.encode_name)
    required = [field.encode_name for field in fields if field.required]
    properties = {field.encode_name: _schema(field.type) for field in fields}
    return _ordered(
        {"type": "object", "properties": properties} | ({"required": required} if required else {})
    )


def _ordered(schema: Schema) -> Schema:
    unknown = schema.keys() - set(_ORDER)
    if unknown:
        raise TypeError(f"no place in a CRD's schema for {', '.join(sorted(unknown))}; see _ORDER")
    return {keyword: schema[keyword] for keyword in _ORDER if keyword in schema}
