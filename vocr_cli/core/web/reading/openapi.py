"""The OpenAPI document of the HTTP API (OpenAPI 3.1)."""

from __future__ import annotations

from typing import Any

from vocr_cli import __version__
from vocr_cli.core.web.reading.limits import ServeLimits

_SCHEMAS = "#/components/schemas/"
_NAME = {
    "name": "name",
    "in": "query",
    "description": "What the answer calls the image.",
    "schema": {"type": "string"},
}
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
            "description": "Reads lines and pages of Vietnamese text.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"token": []}],
        "paths": {
            "/read": {"post": _read(limits)},
            "/read/page": {"post": _read_page(limits)},
            "/health": {"get": _health()},
        },
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
        f"up to {limits.body_bytes:,} bytes. One image is one line: "
        "pages are for /read/page.",
        "parameters": [_NAME],
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
            "422": {
                "description": "The image cannot be read as a line.",
                "content": {"application/json": {"schema": {"$ref": f"{_SCHEMAS}Unreadable"}}},
            },
            **_refusals(),
        },
    }


def _read_page(limits: ServeLimits) -> dict[str, Any]:
    form = {"type": "object", "properties": {"image": {"type": "string"}}}
    pictures = {
        "name": "pictures",
        "in": "query",
        "description": "1: each page comes with a picture of it, a JPEG in Base64.",
        "schema": {"enum": ["1"]},
    }
    return {
        "operationId": "readPage",
        "summary": "Find and read the lines of a page",
        "description": f"The body is an image or a PDF as it is, or a form with one, of up to "
        f"{limits.pages} pages and {limits.body_bytes:,} bytes. Documents are read one after the other.",
        "parameters": [_NAME, pictures],
        "requestBody": {
            "required": True,
            "content": {
                "image/*": {"schema": _BINARY},
                "application/pdf": {"schema": _BINARY},
                "application/octet-stream": {"schema": _BINARY},
                "multipart/form-data": {"schema": form},
            },
        },
        "responses": {
            "200": {
                "description": "The pages, in the form of `vocr read --format jsonl`.",
                "content": {"application/json": {"schema": {"$ref": f"{_SCHEMAS}Pages"}}},
            },
            "422": {
                "description": "The document cannot be read.",
                "content": {"application/json": {"schema": {"$ref": f"{_SCHEMAS}UnreadablePages"}}},
            },
            "501": _problem("What finds lines, or opens PDFs, is not installed."),
            **_refusals(),
        },
    }


def _refusals() -> dict[str, Any]:
    return {
        "400": _problem("There is no image, or the form cannot be understood."),
        "403": _problem("The token is missing or wrong."),
        "408": _problem("The body did not come within 30 s."),
        "413": _problem("The body is too large."),
        "429": _problem("This address asks too often.", retry=True),
        "503": _problem("Too much waits to be read.", retry=True),
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
        **_page_schemas(),
        "Problem": {"type": "object", "required": ["problem", "fix"],
                    "properties": {"problem": text, "fix": text}},
        "Health": {"type": "object", "required": list(health), "properties": health},
    }  # fmt: skip


def _page_schemas() -> dict[str, Any]:
    text, number, whole = {"type": "string"}, {"type": "number"}, {"type": "integer", "minimum": 0}
    pair = {"type": "array", "items": number, "minItems": 2, "maxItems": 2}
    line = {
        "text": {"type": "string", "description": "NFC."},
        "confidence": number,
        "char_confidences": {"type": "array", "items": number},
        "flags": {"type": "array", "items": text},
        "corners": {
            "type": "array",
            "items": pair,
            "description": "Upper left, upper right, lower right, lower left as a reader sees them; px.",
        },
        "block": {**whole, "description": "The paragraph, cell or column that the line belongs to."},
        "row": {**whole, "description": "Lines of one row stand side by side."},
        "cell": {**whole, "description": "Lines of one cell of a row follow each other."},
        "words": {
            "type": "array",
            "items": pair,
            "description": "Where each word begins and ends, as fractions of the line's width.",
        },
    }
    page = {
        "path": text,
        "page": {**whole, "description": "Which page of the document, from 1."},
        "width_px": whole,
        "height_px": whole,
        "dpi": {**number, "description": "0: not known."},
        "turned": {**whole, "description": "Degrees by which to turn it clockwise until it stands upright."},
        "lines": {"type": "array", "items": {"$ref": f"{_SCHEMAS}Line"}, "description": "In reading order."},
        "text": {"type": "string", "description": "Of all lines, as `vocr read --format txt` has it."},
        "warnings": {"type": "array", "items": text},
        "picture": {**text, "description": "With ?pictures=1 only."},
        "error": {**text, "description": "Why this page could not be read; then there is no text."},
        "fix": text,
    }
    unreadable = {"path": text, "pages": {"type": "null"}, "error": text, "fix": text}
    pages = {"path": text, "pages": {"type": "array", "items": {"$ref": f"{_SCHEMAS}Page"}}}
    return {
        "Line": {"type": "object", "required": list(line), "properties": line},
        "Page": {"type": "object", "required": ["path", "page"], "properties": page},
        "Pages": {"type": "object", "required": list(pages), "properties": pages},
        "UnreadablePages": {"type": "object", "required": list(unreadable), "properties": unreadable},
    }
