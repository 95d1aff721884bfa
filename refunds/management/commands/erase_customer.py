"""``manage.py erase_customer``: takes out who a customer is; what was paid and refunded stays."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from refunds.erasure import NotErased, erase
from transactions.models import Customer


class Command(BaseCommand):
    help = (
        "Erases what tells who a customer is, and all who were merged with them. Amounts, ids, "
        "times and states stay. It cannot be undone. Ends with 1 while a refund to them has not "
        "ended."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        who = parser.add_mutually_exclusive_group(required=True)
        who.add_argument("id", nargs="?", type=int, help="as in the address of their page")
        who.add_argument("--email", help="in any case")

    def handle(self, *_args: Any, id: int | None, email: str | None, **_options: Any) -> None:  # noqa: A002
        # What is not found may be a person's address, so it is not repeated.
        wanted = {"pk": id} if email is None else {"email": email.strip().lower()}
        customer = Customer.objects.filter(**wanted).first()
        if customer is None:
            raise CommandError("There is no such customer.")
        try:
            erased = erase(customer, actor=None)
        except NotErased as refusal:
            raise CommandError(str(refusal)) from None
        self.stdout.write(
            f"Customer {customer.pk} is erased, with {erased.payments} payments, "
            f"{erased.refunds} refunds and {erased.notes} notes of theirs."
        )
