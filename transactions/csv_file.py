"""A CSV file as it arrives: its encoding, its header and its records, each with its line."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

MAX_BYTES = 20_000_000
MAX_ROWS = 100_000
MAX_ROW_BYTES = 10_000

_LINE_END = re.compile(rb"\r\n|\r|\n")
_SAVE_AS = gettext_lazy("Save the file as CSV UTF-8 (comma delimited).")


@dataclass(frozen=True, slots=True)
class LineError:
    """What is wrong, and on which line of the file it starts; 0 where it is the file as a whole."""

    line: int
    sentence: str

    def __str__(self) -> str:
        if not self.line:
            return self.sentence
        return _("Line %(line)d: %(sentence)s") % {"line": self.line, "sentence": self.sentence}


class UnreadableFile(Exception):
    """The file cannot be read on from here. ``errors`` say why."""

    def __init__(self, *errors: LineError) -> None:
        super().__init__("; ".join(map(str, errors)))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Record:
    """One row below the header. ``values`` has a text for every column; ``line`` is its first."""

    line: int
    values: dict[str, str]


class CsvFile:
    """A whole file in memory, decoded line by line, as often as it is asked for its records.

    Raises UnreadableFile when it is not UTF-8, too large, or has another header than it must.
    """

    def __init__(
        self, file: BinaryIO, *, required: Collection[str], optional: Collection[str]
    ) -> None:
        self._raw = file.read(MAX_BYTES + 1)
        self._row_bytes = 0
        _check_bytes(self._raw)
        rows = self._rows()
        _line, self.columns = next(rows, (1, []))
        errors = [LineError(1, each) for each in _header_errors(self.columns, required, optional)]
        if errors:
            raise UnreadableFile(*errors)

    def records(self) -> Iterator[Record | LineError]:
        """The rows below the header; blank lines are left out. Raises UnreadableFile on the way."""
        rows = self._rows()
        next(rows)
        for number, (line, values) in enumerate(rows, start=1):
            if number > MAX_ROWS:
                raise UnreadableFile(
                    LineError(line, _("The file has more than %d rows. Split it.") % MAX_ROWS)
                )
            if len(values) == len(self.columns):
                yield Record(line, dict(zip(self.columns, values, strict=True)))
            else:
                yield LineError(
                    line,
                    _("The row has %(values)d values, and the header %(columns)d columns.")
                    % {"values": len(values), "columns": len(self.columns)},
                )

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        text = io.TextIOWrapper(io.BytesIO(self._raw), "utf-8-sig", newline="")
        reader = csv.reader(self._measured(text), strict=True)
        while True:
            line = reader.line_num + 1
            self._row_bytes = 0
            try:
                values = next(reader)
            except StopIteration:
                return
            except _RowTooLong:
                sentence = _(
                    "The row is longer than %d bytes. A closing quotation mark may be missing."
                )
                raise UnreadableFile(LineError(line, sentence % MAX_ROW_BYTES)) from None
            except csv.Error:
                sentence = _(
                    "The quotation marks do not fit: put a text that has some between quotation "
                    "marks, and double those within it."
                )
                raise UnreadableFile(LineError(line, sentence)) from None
            if values:
                yield line, values

    def _measured(self, lines: Iterator[str]) -> Iterator[str]:
        for line in lines:
            self._row_bytes += len(line.encode())
            if self._row_bytes > MAX_ROW_BYTES:
                raise _RowTooLong
            yield line


class _RowTooLong(Exception):
    pass


def _check_bytes(raw: bytes) -> None:
    if not raw.strip(codecs.BOM_UTF8 + b" \t\r\n"):
        raise UnreadableFile(LineError(0, _("The file is empty.")))
    if len(raw) > MAX_BYTES:
        sentence = _("The file is larger than %d MB. Split it.") % (MAX_BYTES // 1_000_000)
        raise UnreadableFile(LineError(0, sentence))
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        wrong = _("The file is in UTF-16.")
        raise UnreadableFile(LineError(0, f"{wrong} {_SAVE_AS}"))
    place = raw.find(b"\x00")
    if place < 0:
        try:
            raw.decode("utf-8")
        except UnicodeDecodeError as error:
            place = error.start
        else:
            return
    sentence = _("Byte %(place)d of the file, %(value)s, is not UTF-8 text.") % {
        "place": place + 1,
        "value": f"0x{raw[place]:02X}",
    }
    line = len(_LINE_END.findall(raw, 0, place)) + 1
    raise UnreadableFile(LineError(line, f"{sentence} {_SAVE_AS}"))


def _header_errors(
    columns: list[str], required: Collection[str], optional: Collection[str]
) -> Iterator[str]:
    for separator, name in ((";", _("semicolons")), ("\t", _("tabs")), ("|", _("bars"))):
        if len(columns) == 1 and separator in columns[0]:
            yield _("The columns are separated by %s. Separate them by commas.") % name
            return
    for column in required:
        if column not in columns:
            yield _("The column %s is missing.") % column
    for column in dict.fromkeys(columns):
        if column not in (*required, *optional):
            names = ", ".join((*required, *optional))
            yield _("There is no column “%(column)s”. Possible are: %(names)s.") % {
                "column": column[:50],
                "names": names,
            }
        elif columns.count(column) > 1:
            yield _("The column %s is there more than once.") % column
