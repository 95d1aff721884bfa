"""``manage.py verify_audit``: walks the chain of events; exit 1 and the first broken row if any."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from refunds.history import first_broken_event
from refunds.management.console import until_reader_leaves
from refunds.models import RefundEvent


class Command(BaseCommand):
    help = "Walks the hash chain of refund events and names the first row that does not fit."

    @until_reader_leaves()
    def handle(self, *_args: Any, **_options: Any) -> None:
        if found := first_broken_event():
            event, why = found
            self.stderr.write(f"Event {event.sequence} of refund {event.refund_id}: {why}.")
            sys.exit(1)
        newest = RefundEvent.objects.order_by("-sequence").first()
        if newest is None:
            self.stdout.write("There are no events yet.")
            return
        self.stdout.write(f"All {newest.sequence} events fit. The newest hash is {newest.hash}.")
