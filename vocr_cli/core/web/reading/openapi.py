"""The OpenAPI document of the HTTP API (OpenAPI 3.1)."""

from __future__ import annotations

from typing import Any

from vocr_cli import __version__
from vocr_cli.core.web.reading.limits import ServeLimits

_SCHEMAS = "#/components/schemas/"
_BINARY = {"type": "string", "contentMediaType": "application/octet-stream"}


def openapi_document(limits: ServeLimits) -> dict[str, Any]:
    """Describes the API.

    Args:
        limits: What a request may take.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "vocr",
            "version": __version__,
            "description": "Reads line images of Vietnamese text.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"token": []}],
        "paths": {"/read": {"post": _read(limits)}, "/health": {"get": _health()}},
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(),
        },
    }


def _read(limits: ServeLimits) -> dict[str, Any]:
    reading, several = {"$ref": f"{_SCHEMAS}Reading"}, {"$ref": f"{_SCHEMAS}Readings"}
    form = {"type": "object", "properties": {"image": {"type": "array", "items": {"type": "string"}}}}
    return {
        "operationId": "read",
        "summary": "Read one line image, or several",
        "description": f"The body is an image as it is, or a form with up to {limits.images} of them; it has "
        f"up to {limits.body_bytes:,} bytes. One image is one line: of a page, reading means nothing.",
        "parameters": [
            {
                "name": "name",
                "in": "query",
                "description": "What the answer calls the image.",
                "schema": {"type": "string"},
            }
        ],
        "requestBody": {
            "required": True,
            "content": {
                "image/*": {"schema": _BINARY},
                "application/octet-stream": {"schema": _BINARY},
                "multipart/form-data": {"schema": form},
            },
        },
        "responses": {
            "200": {
                "description": "What the line says; of a form, `readings` in the order of its images.",
                "content": {"application/json": {"schema": {"oneOf": [reading, several]}}},
            },
            "400": _problem("There is no image, or the form cannot be understood."),
            "403": _problem("The token is missing or wrong."),
            "408": _problem("The body did not come within 30 s."),
            "413": _problem("The body is too large."),
            "422": {
                "description": "The image cannot be read as a line.",
                "content": {"application/json": {"schema": {"$ref": f"{_SCHEMAS}Unreadable"}}},
            },
            "429": _problem("This address asks too often.", retry=True),
            "503": _problem("Too many lines wait.", retry=True),
        },
    }


def _health() -> dict[str, Any]:
    return {
        "operationId": "health",
        "summary": "Whether the server answers, and how busy it is",
        "security": [],
        "responses": {
            "200": {
                "description": "It answers.",
                "content": {"application/json": {"schema": {"$ref": f"{_SCHEMAS}Health"}}},
            }
        },
    }


def _problem(description: str, retry: bool = False) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "description": description,
        "content": {"application/json": {"schema": {"$ref": f"{_SCHEMAS}Problem"}}},
    }
    if retry:
        seconds = {"description": "Seconds after which to ask again.", "schema": {"type": "integer"}}
        answer["headers"] = {"Retry-After": seconds}
    return answer


def _schemas() -> dict[str, Any]:
    text, number = {"type": "string"}, {"type": "number", "minimum": 0, "maximum": 1}
    whole = {"type": "integer", "minimum": 0}
    alternative = {"type": "object", "properties": {"text": text, "score": {"type": "number"}}}
    reading = {
        "path": text,
        "text": {"type": "string", "description": "NFC."},
        "confidence": {
            **number,
            "description": "The probability that the text is right, of a calibrated model.",
        },
        "min_confidence": {**number, "description": "Of the least sure character."},
        "char_confidences": {"type": "array", "items": number},
        "flags": {"type": "array", "items": text},
        "width_px": whole,
        "height_px": whole,
        "alternatives": {"type": "array", "items": alternative, "description": "With a beam only."},
    }
    required = [name for name in reading if name != "alternatives"]
    unreadable = {"path": text, "text": {"type": "null"}, "error": text, "fix": text}
    either = [{"$ref": f"{_SCHEMAS}Reading"}, {"$ref": f"{_SCHEMAS}Unreadable"}]
    health = {"status": {"const": "ok"}, "model": text, "version": text, "waiting": whole,
              "read_lines": whole, "requests": whole, "refused": whole}  # fmt: skip
    readings = {"readings": {"type": "array", "items": {"oneOf": either}}}
    return {
        "Reading": {"type": "object", "required": required, "properties": reading},
        "Unreadable": {"type": "object", "required": list(unreadable), "properties": unreadable},
        "Readings": {"type": "object", "required": ["readings"], "properties": readings},
        "Problem": {"type": "object", "required": ["problem", "fix"],
                    "properties": {"problem": text, "fix": text}},
        "Health": {"type": "object", "required": list(health), "properties": health},
    }  # fmt: skip
