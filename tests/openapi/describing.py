"""Words to describe an API with: the little of OpenAPI that the published services need."""

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "integer", "format": "int32"}
LONG: Schema = {"type": "integer", "format": "int64"}
YES: Schema = {"type": "boolean"}
TIME: Schema = {"type": "string", "format": "date-time"}
ANY: Schema = {"type": "object"}

IF_MATCH: Schema = {"name": "If-Match", "in": "header", "required": False, "schema": TEXT}
PAGING: list[Schema] = [
    {"name": "x-ms-max-item-count", "in": "header", "required": False, "schema": {"type": "integer"}},
    {"name": "x-ms-continuation", "in": "header", "required": False, "schema": TEXT},
]


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def words(*words: str) -> Schema:
    return {"type": "string", "enum": list(words)}


def all_of(kind: Schema) -> Schema:
    return {"type": "array", "items": kind}


def map_of(kind: Schema) -> Schema:
    return {"type": "object", "additionalProperties": kind}


def model(required: str = "", /, **members: Schema) -> Schema:
    return {"type": "object", "properties": members, **({"required": required.split()} if required else {})}


def operation(version: str, path: str, answers: dict[str, Schema | None], body: Schema | None, *more: Schema) -> Schema:
    """Describe what can be asked at a path: `answers` by status, None for one without a body; errors are `Error`."""
    ids = [part.strip("{}") for part in path.split("/") if part.startswith("{")]
    responses: dict[str, Any] = {
        status: {"description": "", **({} if kind is None else {"content": {"application/json": {"schema": kind}}})}
        for status, kind in (answers | {"default": ref("Error")}).items()
    }
    described: Schema = {
        "parameters": [
            {"name": "api-version", "in": "query", "required": True, "schema": {"const": version}},
            *({"name": name, "in": "path", "required": True, "schema": TEXT | {"minLength": 1}} for name in ids),
            *more,
        ],
        "responses": responses,
    }
    if body is not None:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return described
