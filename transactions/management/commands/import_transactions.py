"""manage.py import_transactions: payments from a CSV file, all or nothing."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gateways.models import ProcessorAccount
from transactions.csv_rows import OPTIONAL, REQUIRED
from transactions.imports import ImportReport, import_csv


class Command(BaseCommand):
    help = (
        "Imports payments from a CSV file in UTF-8, all or nothing. "
        f"Columns: {', '.join(REQUIRED)}; and, where known, {', '.join(OPTIONAL)}."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE.csv")
        parser.add_argument("--account", metavar="SLUG", required=True)
        parser.add_argument("--dry-run", action="store_true", help="only say what would happen")

    def handle(self, *_args: Any, file: str, account: str, dry_run: bool, **_options: Any) -> None:
        found = ProcessorAccount.objects.filter(slug=account).first()
        if found is None:
            known = ", ".join(ProcessorAccount.objects.values_list("slug", flat=True)) or "none"
            raise CommandError(f"There is no account {account!r}. Known: {known}.")
        try:
            with Path(file).open("rb") as content:
                report = import_csv(content, found, dry_run=dry_run)
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from None
        if report.error_count:
            self._refuse(report)
        verb = "would be added" if dry_run else "were added"
        self.stdout.write(
            f"{report.new:,} payments {verb} to {account}; {report.unchanged:,} are there already."
        )

    def _refuse(self, report: ImportReport) -> None:
        for error in report.errors:
            self.stderr.write(str(error))
        more = report.error_count - len(report.errors)
        shown = f" The first {len(report.errors)} are shown." if more else ""
        raise CommandError(f"Nothing was imported: errors found: {report.error_count:,}.{shown}")
