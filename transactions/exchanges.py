"""Exchanges: which payment is for what a customer got in place of what is given back."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import IntegrityError
from django.db import transaction as database
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from access.rights import within
from audit.kinds import Kind
from audit.log import record

from .filters import search
from .models import Exchange, Transaction
from .text import clean

ADD, DELETE = "transactions.add_exchange", "transactions.delete_exchange"


class NotLinked(Exception):
    """No exchange. ``str()`` says why, and what to enter."""


def link(original: Transaction, text: str, *, actor: User) -> Exchange:
    """Link the payment for the replacement, named by its id, its order or what else finds it alone.

    Raises NotLinked.
    """
    replacement = _find(original, text, actor)
    exchange = Exchange(original=original, replacement=replacement, linked_by=actor)
    try:
        with database.atomic():
            exchange.save()
            _tell(Kind.EXCHANGE_ADDED, exchange, actor)
    except IntegrityError:
        raise NotLinked(_("These two payments are linked already.")) from None
    return exchange


def unlink(exchange: Exchange, *, actor: User) -> None:
    with database.atomic():
        _tell(Kind.EXCHANGE_DELETED, exchange, actor)
        exchange.delete()


def _tell(kind: Kind, exchange: Exchange, actor: User) -> None:
    original, replacement = exchange.original, exchange.replacement
    record(
        kind,
        actor=actor,
        account_id=original.account_id,
        about=original,
        about_name=original.external_id,
        data={"replacement": replacement.external_id, "replacement_id": replacement.pk},
    )


def of(payment: Transaction) -> QuerySet[Exchange]:
    """Those that the payment is on either side of, oldest first."""
    either = Q(original=payment) | Q(replacement=payment)
    rows = Exchange.objects.filter(either).order_by("pk")
    return rows.select_related("original", "replacement", "linked_by")


def _find(original: Transaction, text: str, person: User) -> Transaction:
    """The one payment of the same mode that the text names, among those that the person sees."""
    text = clean(text, 320)
    if not text:
        raise NotLinked(_("Enter the id or the order of the payment for the replacement."))
    others = Transaction.objects.filter(mode=original.mode).exclude(pk=original.pk)
    others = within(others, person, "transactions.view_transaction")
    found_by_text = search(others, text)
    is_number = text.isascii() and text.isdigit() and len(text) < 19
    for rows in (
        found_by_text.filter(Q(external_id=text) | Q(order_reference=text)),
        others.filter(pk=text) if is_number else others.none(),
        found_by_text,
    ):
        found = list(rows.defer("search_text")[:2])
        if len(found) == 1:
            return found[0]
        if found:
            raise NotLinked(_("Several payments match “%s”. Enter the id of one.") % text[:60])
    raise NotLinked(
        _("No other payment matches “%s”. Look for it in the table, and enter its id.") % text[:60]
    )
