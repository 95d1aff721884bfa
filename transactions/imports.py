"""Payments from a CSV file: all or nothing, and every error with its line.

The file is gone through twice: once to check every row and, when all are good, once more to write.
A file never changes a payment that is known already: what a processor reported counts for more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, BinaryIO

from django.db import reset_queries
from django.db import transaction as database
from django.utils.translation import gettext as _

from audit import log
from audit.kinds import Kind
from gateways.base import Payment
from gateways.models import ProcessorAccount

from .csv_file import CsvFile, LineError, Record, UnreadableFile
from .csv_rows import OPTIONAL, REQUIRED, RowReader
from .models import Transaction
from .streams import SyncBusy, single_flight
from .upsert import PERSONAL, row_of, store_payments

ERRORS_SHOWN = 50

_PER_BATCH = 1_000


@dataclass
class ImportReport:
    """What an import did, or would do. Nothing was written where there is any error."""

    dry_run: bool
    new: int = 0
    unchanged: int = 0
    error_count: int = 0
    errors: list[LineError] = field(default_factory=list)  # the first ones

    def add_errors(self, *errors: LineError) -> None:
        self.error_count += len(errors)
        self.errors += errors[: ERRORS_SHOWN - len(self.errors)]


def import_csv(file: BinaryIO, account: ProcessorAccount, *, dry_run: bool = False) -> ImportReport:
    """Take the payments of a CSV file into an account, or none of them.

    Errors, of the file and of its rows, are in the report. Never raises for bad content.
    """
    report = ImportReport(dry_run)
    try:
        rows = CsvFile(file, required=REQUIRED, optional=OPTIONAL)
        with single_flight(account):
            known = _check(rows, account, report)
            if not report.error_count and not dry_run:
                _write(rows, account, known, report)
    except UnreadableFile as error:
        report.add_errors(*error.errors)
    except SyncBusy as error:
        report.add_errors(LineError(0, str(error)))
    return report


def _check(rows: CsvFile, account: ProcessorAccount, report: ImportReport) -> set[str]:
    """Count and compare all rows; return the ids of payments that are known already."""
    reader = RowReader(account)
    known: set[str] = set()
    lines: dict[str, int] = {}
    for batch in _batches(rows.records()):
        good: list[tuple[Record, Payment]] = []
        for record in batch:
            if isinstance(record, LineError):
                report.add_errors(record)
                continue
            payment = reader.read(record.values)
            if isinstance(payment, list):
                report.add_errors(*(LineError(record.line, sentence) for sentence in payment))
                continue
            line = lines.setdefault(payment.external_id, record.line)
            if line != record.line:
                sentence = _("%(id)s stands on line %(line)d as well.")
                sentence %= {"id": payment.external_id, "line": line}
                report.add_errors(LineError(record.line, sentence))
            else:
                good.append((record, payment))
        known |= _compare(good, account, report)
    return known


def _compare(
    rows: list[tuple[Record, Payment]], account: ProcessorAccount, report: ImportReport
) -> set[str]:
    """Hold rows against what is stored; return the ids that are there."""
    ids = [payment.external_id for _record, payment in rows]
    stored = {
        row["external_id"]: row
        for row in Transaction.objects.filter(account=account, external_id__in=ids).values()
    }
    for record, payment in rows:
        if payment.external_id not in stored:
            report.new += 1
            continue
        differing = list(_differing(record, payment, stored[payment.external_id]))
        if not differing:
            report.unchanged += 1
            continue
        sentence = _(
            "%(id)s is known already, with another %(columns)s. A file does not change payments."
        )
        sentence %= {"id": payment.external_id, "columns": ", ".join(differing)}
        report.add_errors(LineError(record.line, sentence))
    return set(stored)


def _differing(record: Record, payment: Payment, stored: Mapping[str, Any]) -> Iterator[str]:
    """The columns that contradict what is stored. An empty cell says nothing."""
    facts = row_of(payment)
    erased = PERSONAL if stored["is_erased"] else ()
    for column, text in record.values.items():
        name = "amount_minor" if column == "amount" else column
        value = stored[name]
        if isinstance(value, datetime):
            value = value.isoformat()
        if text and name not in erased and facts[name] != value:
            yield column


def _write(rows: CsvFile, account: ProcessorAccount, known: set[str], report: ImportReport) -> None:
    """Store all rows that are new, in one commit. Raises UnreadableFile when one is refused."""
    reader = RowReader(account)
    with database.atomic():
        for batch in _batches(rows.records()):
            lines: dict[str, int] = {}
            payments: list[Payment] = []
            for record in batch:
                if isinstance(record, LineError) or record.values["external_id"] in known:
                    continue
                payment = reader.read(record.values)
                if isinstance(payment, Payment):
                    payments.append(payment)
                    lines[payment.external_id] = record.line
            rejected = store_payments(account, payments).rejected
            if rejected:
                errors = (LineError(lines[each.external_id], each.reason) for each in rejected)
                raise UnreadableFile(*errors)
        told = {"new": report.new, "unchanged": report.unchanged}
        log.record(Kind.IMPORTED, actor=None, account_id=account.pk, about=account, data=told)


def _batches(records: Iterator[Record | LineError]) -> Iterator[list[Record | LineError]]:
    """Chunks of rows; those before a place where the file breaks come first, then the error."""
    batch: list[Record | LineError] = []
    broken: UnreadableFile | None = None
    try:
        for record in records:
            batch.append(record)
            if len(batch) == _PER_BATCH:
                yield batch
                batch = []
                reset_queries()  # in debug mode Django keeps every statement
    except UnreadableFile as error:
        broken = error
    yield batch
    if broken:
        raise broken
