"""``manage.py check_invariants``: prints the rows that break a promise; exit 1 if there are any."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from refunds.invariants import INVARIANTS, broken_rows
from refunds.management.console import until_reader_leaves


class Command(BaseCommand):
    help = "Runs every invariant query and prints the rows that break one."

    @until_reader_leaves()
    def handle(self, *_args: Any, **_options: Any) -> None:
        broken = 0
        for invariant in INVARIANTS:
            rows = broken_rows(invariant)
            broken += len(rows)
            self.stdout.write(f"{'BROKEN' if rows else 'holds '}  {invariant.name}")
            for row_id, why in rows:
                self.stdout.write(f"        {row_id}: {why}")
        if broken:
            self.stderr.write(f"{broken} rows break a promise. Look at each before money moves on.")
            sys.exit(1)
