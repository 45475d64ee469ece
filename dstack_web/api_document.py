"""What the OpenAPI document says of errors: which ones a route may answer, all of one shape.

Which ones follows from the operation itself, so no route has to list them: see `errors_of`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ninja import NinjaAPI
from ninja.errors import ValidationError, ValidationErrorContext
from ninja.openapi.schema import OpenAPISchema

from apps.core.http.input_paths import written

CHANGES = ("post", "put", "patch", "delete")
# Of which each sets a password, and so waits for its turn to hash one.
HASHING = ("/api/users",)
WORDS = {
    400: "The request cannot be read.",
    401: "No token, or none that is good.",
    403: "One may see it, but not do this.",
    404: "It is not there, or one may not see it.",
    409: "It changed meanwhile, or its name is taken.",
    413: "The body is too large, or with it all that is kept.",
    422: "Something in it is not right; `details` say what and where.",
    429: "Too many at once; try again after the seconds in `Retry-After`.",
    503: "A part of the server is away; try again after the seconds in `Retry-After`.",
    507: "A disk of the server is full.",
}
PLACE = {"anyOf": [{"type": "integer"}, {"type": "null"}]}
DETAIL: dict[str, Any] = {
    "type": "object",
    "required": ["path", "message", "line", "column"],
    "properties": {
        "path": {"type": "string"},
        "message": {"type": "string"},
        "line": PLACE,
        "column": PLACE,
    },
}
ERROR: dict[str, Any] = {
    "title": "Error",
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "details"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string", "description": "One sentence for a person."},
                "details": {"type": "array", "items": DETAIL},
            },
        }
    },
}
CONTENT = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}


class DocumentedAPI(NinjaAPI):
    """An API whose document names the errors of each operation, too, and whose errors name what was
    sent as it was written."""

    def validation_error_from_error_contexts(
        self, error_contexts: list[ValidationErrorContext[Any]]
    ) -> ValidationError:
        found = super().validation_error_from_error_contexts(error_contexts)
        told = (
            (context.model, error["loc"])
            for context in error_contexts
            for error in context.pydantic_validation_error.errors(include_url=False)
        )
        for error, (model, loc) in zip(found.errors, told, strict=True):
            source, *flat = error["loc"]
            if tuple(flat) == loc:
                error["loc"] = (source, *written(model, loc))
        return found

    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        schema = super().get_openapi_schema(**options)
        schema.setdefault("components", {}).setdefault("schemas", {})["Error"] = ERROR
        for path, methods in schema["paths"].items():
            for method, operation in methods.items():
                for status in errors_of(path, method, operation):
                    told = {"description": WORDS[status], "content": CONTENT}
                    operation["responses"].setdefault(status, told)
        return schema


def errors_of(path: str, method: str, operation: dict[str, Any]) -> Iterator[int]:
    """Yield the statuses of the errors that an operation may answer."""
    places = {parameter["in"] for parameter in operation.get("parameters", [])}
    yield from (400, 503)
    if operation.get("security"):
        yield from (401, 403)
    # A body may name a project or a run, too.
    if "path" in places or "requestBody" in operation:
        yield 404
    if places or "requestBody" in operation:
        yield 422
    if method in CHANGES:
        yield from (409, 413, 507)
        if path.startswith(HASHING):
            yield 429
