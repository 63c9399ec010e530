"""The generated CRDs against tables of the API, which were written down independently of the models."""

import csv
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec import inspect

from shared.api.crd import crd, files, main
from shared.api.kinds import KINDS, Kind

CONTRACT = Path(__file__).parents[3] / "data" / "contract"
GENERATED = Path(__file__).parents[4] / "deploy" / "crds"
SCALARS = {"string", "boolean", "integer"}

Row = dict[str, str]
Schema = dict[str, Any]


def rows(table: str) -> list[Row]:
    with (CONTRACT / table).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


@cache
def by_kind(kind: str) -> dict[str, Row]:
    return {row["path"]: row for row in rows("fields.tsv") if row["kind"] == kind}


@cache
def schema_of(kind: Kind[Any]) -> Schema:
    """As written in deploy/crds, so that the file is tested and not only the generator."""
    document = yaml.safe_load((GENERATED / f"{kind.crd_name}.yaml").read_text(encoding="utf-8"))
    schema: Schema = document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def walk(schema: Schema, path: str, required: str) -> Iterator[tuple[str, str, Schema]]:
    """Each field as (path, required, schema). As in the table, scalar items of a list come by themselves."""
    yield path, required, schema
    if schema["type"] == "array":
        items = schema["items"]
        if items["type"] in SCALARS:
            yield f"{path}[]", "", items
        schema, path = items, f"{path}[]"
    for name, below in schema.get("properties", {}).items():
        yield from walk(below, f"{path}.{name}", "y" if name in schema.get("required", ()) else "n")


def type_of(schema: Schema) -> str:
    kind: str = schema["type"]
    if kind == "array":
        return f"array<{type_of(schema['items'])}>"
    if "additionalProperties" in schema:
        return f"map<string,{type_of(schema['additionalProperties'])}>"
    return f"{kind}:{schema['format']}" if "format" in schema else kind


def facts(path: str, required: str, schema: Schema) -> dict[str, object]:
    rules = schema.get("x-kubernetes-validations", [])
    return {
        "path": path,
        "type": type_of(schema),
        "required": required,
        "default": schema.get("default"),
        "enum": set(schema.get("enum", ())),
        "pattern": schema.get("pattern", ""),
        "min_max": {
            word: schema[word] for word in ("minLength", "maxLength", "minimum", "maximum") if word in schema
        },
        "rules": [(rule["rule"], rule["message"]) for rule in rules],
    }


def facts_of(row: Row) -> dict[str, object]:
    rules = row["x_kubernetes_validations"].split(" ;; ") if row["x_kubernetes_validations"] else []
    message = row["validation_messages"].removesuffix(" (both rules)")
    return {
        "path": row["path"],
        "type": row["type"],
        "required": row["required"],
        "default": json.loads(row["default"]) if row["default"] else None,
        "enum": set(row["enum"].split("|")) if row["enum"] else set(),
        "pattern": row["pattern"],
        "min_max": {word: int(n) for word, n in (each.split("=") for each in row["min_max"].split())},
        "rules": [(rule, message) for rule in rules],
    }


@cache
def generated(kind: Kind[Any]) -> dict[str, dict[str, object]]:
    properties = schema_of(kind)["properties"]
    fields = [field for root in ("spec", "status") for field in walk(properties[root], root, "n")]
    return {path: facts(path, required, schema) for path, required, schema in fields}


PLACES = [(kind, path) for kind in KINDS for path in by_kind(kind.kind)]


@pytest.mark.parametrize(("kind", "path"), PLACES, ids=[f"{kind.kind} {path}" for kind, path in PLACES])
def test_a_field_is_as_the_api_has_it(kind: Kind[Any], path: str) -> None:
    assert generated(kind)[path] == facts_of(by_kind(kind.kind)[path])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_there_is_no_field_that_the_api_does_not_have(kind: Kind[Any]) -> None:
    assert generated(kind).keys() - by_kind(kind.kind).keys() == set()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_every_field_is_described(kind: Kind[Any]) -> None:
    fields = [
        field for root in ("spec", "status") for field in walk(schema_of(kind)["properties"][root], root, "n")
    ]
    silent = [path for path, _, schema in fields if not path.endswith("[]") and not schema.get("description")]
    assert silent == []


def column(text: str) -> dict[str, object]:
    """`Name=path (type) [priority 1]`, the last two if they are not string and 0."""
    text, _, priority = text.partition(" [priority ")
    text, _, of_type = text.partition(" (")
    name, _, path = text.partition("=")
    shown: dict[str, object] = {"name": name, "type": of_type.rstrip(")") or "string", "jsonPath": path}
    return shown | ({"priority": int(priority.rstrip("]"))} if priority else {})


@pytest.mark.parametrize("row", rows("kinds.tsv"), ids=lambda row: row["kind"])
def test_a_kind_is_named_as_the_api_has_it(row: Row) -> None:
    kind = next(each for each in KINDS if each.kind == row["kind"])
    document = crd(kind)
    spec = document["spec"]
    (version,) = spec["versions"]
    assert document["metadata"]["name"] == f"{row['plural']}.{row['group']}"
    assert (spec["group"], spec["scope"], version["name"]) == (row["group"], row["scope"], row["version"])
    assert (version["served"], version["storage"]) == (row["served"] == "y", row["storage"] == "y")
    assert spec["names"] == {
        "kind": row["kind"],
        "listKind": f"{row['kind']}List",
        "plural": row["plural"],
        "singular": row["singular"],
        "shortNames": row["short_names"].split(","),
        "categories": row["categories"].split(","),
    }
    assert version["additionalPrinterColumns"] == [
        column(text) for text in row["printer_columns"].split("; ")
    ]
    assert list(version["subresources"]) == row["subresources"].split(",")
    assert spec.get("conversion", {"strategy": "None"})["strategy"] == row["conversion"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_the_marks_that_flux_looks_for(kind: Kind[Any]) -> None:
    metadata = crd(kind)["metadata"]
    assert metadata["labels"]["app.kubernetes.io/part-of"] == "flux"
    assert metadata["annotations"]["kustomize.toolkit.fluxcd.io/substitute"] == "disabled"


FORBIDDEN = {"$ref", "anyOf", "oneOf", "title", "nullable"}


def nodes(schema: Schema) -> Iterator[Schema]:
    yield schema
    for below in schema.get("properties", {}).values():
        yield from nodes(below)
    for keyword in ("items", "additionalProperties"):
        if keyword in schema:
            yield from nodes(schema[keyword])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_schemas_are_structural(kind: Kind[Any]) -> None:
    for node in nodes(schema_of(kind)):
        assert node["type"] in SCALARS | {"object", "array"}
        assert not FORBIDDEN & node.keys()


def published_defaults(node: inspect.Type) -> Iterator[tuple[str, object, object]]:
    """(field, the model's default, the default in the CRD) of every field that has the latter."""
    match node:
        case inspect.Metadata():
            yield from published_defaults(node.type)
        case inspect.UnionType():
            for each in node.types:
                yield from published_defaults(each)
        case inspect.VarTupleType():
            yield from published_defaults(node.item_type)
        case inspect.StructType():
            for field in node.fields:
                extra = field.type.extra_json_schema if isinstance(field.type, inspect.Metadata) else None
                if extra and "default" in extra:
                    yield f"{node.cls.__name__}.{field.name}", field.default, extra["default"]
                yield from published_defaults(field.type)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_a_published_default_is_the_models_own(kind: Kind[Any]) -> None:
    found = {name: (ours, theirs) for name, ours, theirs in published_defaults(inspect.type_info(kind.model))}
    status_ours, status_published = found.pop(f"{kind.kind}.status")
    assert status_published == {"observedGeneration": getattr(status_ours, "observed_generation", None)}
    assert found, "each kind has some"
    assert {name: ours for name, (ours, _) in found.items()} == {
        name: theirs for name, (_, theirs) in found.items()
    }


def test_the_files_in_the_tree_are_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--check", "--out", str(GENERATED)])
    assert status == 0, capsys.readouterr().err


def test_the_files_say_where_they_come_from() -> None:
    for content in files().values():
        assert content.splitlines()[0].startswith(
            "# Generated from the models in shared/api by `python -m shared.api.crd`"
        )


def test_a_check_says_what_is_stale_and_what_repairs_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--out", str(tmp_path)])
    assert main(["--check", "--out", str(tmp_path)]) == 0
    changed, missing, *_ = sorted(files())
    (tmp_path / changed).write_text((tmp_path / changed).read_text().replace("gitrepo\n", "gr\n"))
    (tmp_path / missing).unlink()
    (tmp_path / "buckets.yaml").touch()

    assert main(["--check", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"{tmp_path}/buckets.yaml: belongs to no kind",
        f"{tmp_path}/{changed}: 1 lines to add, 1 to remove; the first is `-      - gr`",
        f"{tmp_path}/{missing}: missing",
        f"To bring {tmp_path} up to date: python -m shared.api.crd --out {tmp_path}",
    ]

    main(["--out", str(tmp_path)])
    assert main(["--check", "--out", str(tmp_path)]) == 0
