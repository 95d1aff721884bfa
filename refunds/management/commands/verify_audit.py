"""``manage.py verify_audit``: walks the chains of the audit trail; exit 1 if a row does not fit."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.chains import Break, Chain, Head, first_break, first_missing_head
from audit.heads import UnreadableHeads, read_heads
from refunds.history import CHAINS
from refunds.management.console import NOT_DONE, until_reader_leaves


class Command(BaseCommand):
    help = (
        "Walks the hash chains of the refunds' events and of the audit log, and names the first "
        "row of each that does not fit."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--heads",
            metavar="FILE",
            type=Path,
            help="heads that were exported earlier: finds rows that were cut off at the end",
        )

    @until_reader_leaves()
    def handle(self, *_args: Any, heads: Path | None = None, **_options: Any) -> None:
        broken = [chain for chain in CHAINS if not self.verify(chain, heads)]
        if broken:
            sys.exit(1)

    def verify(self, chain: Chain, heads: Path | None) -> bool:
        """Say how the chain is; whether all of it fits."""
        if found := first_break(chain) or _missing(chain, heads):
            self.stderr.write(f"Row {found.sequence} of {chain.table}: {found.why}.")
            return False
        newest = Head.of(chain)
        if not newest.sequence:
            self.stdout.write(f"There are no rows in {chain.table} yet.")
            return True
        self.stdout.write(
            f"All {newest.sequence:,} rows of {chain.table} fit. The newest hash is {newest.hash}."
        )
        return True


def _missing(chain: Chain, heads: Path | None) -> Break | None:
    if heads is None:
        return None
    try:
        return first_missing_head(chain, read_heads(heads))
    except UnreadableHeads as error:
        raise CommandError(str(error), returncode=NOT_DONE) from None
    except OSError as error:
        sentence = f"{heads} cannot be read: {error.strerror}."
        raise CommandError(sentence, returncode=NOT_DONE) from None
