"""Which model a form names, multipart or urlencoded. Pure: takes the body piece by piece.

What is read here is what the replica must read, so a form that two readers could understand in two
ways is refused: two unlike models, a name in the extended notation, a header of a part twice.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Protocol
from urllib.parse import unquote_to_bytes

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, QuerystringParser, parse_options_header

FIELD = b"model"
LONGEST_MODEL = 4096
MOST_PARTS = 2000
# A multipart body may have lines before its first boundary, which no client sends.
MOST_PREAMBLE_BYTES = 64 * 1024
# Each byte may be written as three.
LONGEST_WRITTEN_NAME = 3 * len(FIELD)
LONGEST_WRITTEN_MODEL = 3 * LONGEST_MODEL
QUOTED = re.compile(rb'"(?:[^"\\]|\\.)*"')
EXTENDED = re.compile(rb";\s*((?:file)?name)\*", re.IGNORECASE)
PLAIN_ENCODINGS = (b"", b"7bit", b"8bit", b"binary")

# It would write a line for each form that a caller broke.
logging.getLogger("python_multipart").setLevel(logging.ERROR)


class BadForm(ValueError):
    """The form cannot be read, or can be read in two ways. Its text is for the caller."""


class Reader(Protocol):
    """Takes a form in, and says at its end which models were named."""

    def feed(self, piece: bytes) -> None: ...

    def finish(self) -> set[bytes]: ...


def model(pieces: Iterable[bytes], content_type: str) -> str | None:
    """Return the field `model` of a form, None when there is none. Raise BadForm."""
    try:
        reader = reader_of(content_type)
        for piece in pieces:
            reader.feed(piece)
        found = reader.finish()
    except FormParserError as error:
        raise BadForm("The form cannot be read: see RFC 7578 for how it is written.") from error
    if len(found) > 1:
        raise BadForm("The form names several models. Send the field `model` once.")
    return text_of(found.pop()) if found else None


def reader_of(content_type: str) -> Reader:
    try:
        kind, options = parse_options_header(content_type)
    except UnicodeError:
        raise BadForm("The boundary in Content-Type must be plain ASCII.") from None
    if not kind.startswith(b"multipart/"):
        return Urlencoded()
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise BadForm("Content-Type names no boundary: `multipart/form-data; boundary=...`.")
    return Multipart(boundary)


def text_of(name: bytes) -> str | None:
    if len(name) > LONGEST_MODEL:
        raise BadForm(f"The field `model` is longer than {LONGEST_MODEL} bytes.")
    try:
        return name.decode() or None
    except UnicodeDecodeError:
        raise BadForm("The field `model` is not UTF-8.") from None


class Multipart:
    """Reads `multipart/form-data`."""

    def __init__(self, boundary: bytes) -> None:
        self._first = re.compile(rb"(?:\A|\n)(--" + re.escape(boundary) + rb"(?:--|[ \t]*\r?\n))")
        # What came before the first boundary, until that is found.
        self._preamble: bytes | None = b""
        self._parts = 0
        self._has_ended = False
        self._headers: dict[bytes, bytes] = {}
        self._name, self._value = b"", b""
        # Of the part under way: None where it is not the model.
        self._model: bytearray | None = None
        self._found: set[bytes] = set()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._add_to_name,
                "on_header_value": self._add_to_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._judge,
                "on_part_data": self._add,
                "on_part_end": self._end_part,
                "on_end": self._end,
            },
        )

    def feed(self, piece: bytes) -> None:
        """Take the next piece. Raise BadForm, FormParserError."""
        if self._preamble is not None:
            piece = self._past_preamble(self._preamble + piece)
        if piece:
            self._parser.write(piece)

    def finish(self) -> set[bytes]:
        """Return the models that were named. Raise BadForm when the form is not whole."""
        if not self._has_ended:
            raise BadForm("The form breaks off: its last boundary is missing.")
        return self._found

    def _past_preamble(self, begun: bytes) -> bytes:
        first = self._first.search(begun)
        if (first.start(1) if first else len(begun)) > MOST_PREAMBLE_BYTES:
            raise BadForm("The form does not begin with the boundary that Content-Type names.")
        if first is None:
            self._preamble = begun
            return b""
        if first[1].endswith(b"\n") and not first[1].endswith(b"\r\n"):
            raise BadForm("The lines of a multipart form must end in CRLF.")
        self._preamble = None
        return begun[first.start(1) :]

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise BadForm(f"The form has more than {MOST_PARTS} parts.")
        self._headers = {}

    def _add_to_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        name = self._name.lower()
        if name in self._headers:
            raise BadForm("A part of the form has the same header twice.")
        self._headers[name] = self._value.strip()
        self._name, self._value = b"", b""

    def _judge(self) -> None:
        disposition = self._headers.get(b"content-disposition", b"")
        _, options = parse_options_header(disposition)
        extended = {each.lower() for each in EXTENDED.findall(QUOTED.sub(b"", disposition))}
        if b"name" in extended:
            raise BadForm("A part of the form is named by `name*`. Name it by `name`.")
        self._model = None
        # A file of that name is no field.
        if options.get(b"name") != FIELD or b"filename" in options:
            return
        if b"filename" in extended:
            raise BadForm("The field `model` must have no file name.")
        if self._headers.get(b"content-transfer-encoding", b"").lower() not in PLAIN_ENCODINGS:
            raise BadForm("The field `model` must have no Content-Transfer-Encoding.")
        self._model = bytearray()

    def _add(self, data: bytes, start: int, end: int) -> None:
        if self._model is not None and len(self._model) <= LONGEST_MODEL:
            self._model += data[start:end]

    def _end_part(self) -> None:
        if self._model is not None:
            self._found.add(bytes(self._model[: LONGEST_MODEL + 1]))

    def _end(self) -> None:
        self._has_ended = True


class Urlencoded:
    """Reads `application/x-www-form-urlencoded`."""

    def __init__(self) -> None:
        self._fields = 0
        self._name, self._value = bytearray(), bytearray()
        self._found: set[bytes] = set()
        self._parser = QuerystringParser(
            {
                "on_field_name": self._add_to_name,
                "on_field_data": self._add_to_value,
                "on_field_end": self._end_field,
            }
        )

    def feed(self, piece: bytes) -> None:
        """Take the next piece."""
        self._parser.write(piece)

    def finish(self) -> set[bytes]:
        """Return the models that were named."""
        self._parser.finalize()
        return self._found

    def _add_to_name(self, data: bytes, start: int, end: int) -> None:
        if len(self._name) <= LONGEST_WRITTEN_NAME:
            self._name += data[start:end]

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        if len(self._value) <= LONGEST_WRITTEN_MODEL:
            self._value += data[start:end]

    def _end_field(self) -> None:
        self._fields += 1
        if self._fields > MOST_PARTS:
            raise BadForm(f"The form has more than {MOST_PARTS} fields.")
        if plain(self._name) == FIELD:
            self._found.add(plain(self._value)[: LONGEST_MODEL + 1])
        self._name.clear()
        self._value.clear()


def plain(written: bytearray) -> bytes:
    return unquote_to_bytes(bytes(written).replace(b"+", b" "))
