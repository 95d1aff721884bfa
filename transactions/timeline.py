"""What happened to a payment, line by line: its own moments, and the notes of staff."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from gateways.money import Money

from .models import Exchange, Note, Transaction, TransactionStatus

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_L = gettext_lazy
_BEGINNINGS: dict[str, tuple[str | Promise, str]] = {
    TransactionStatus.AUTHORIZED: (_L("Authorized"), "warn"),
    TransactionStatus.FAILED: (_L("The payment failed"), "bad"),
}
_SHOWN = 300  # characters of a note; the whole of it stands among the notes


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a timeline. ``url`` leads to what it is about, where that has a page.

    ``why`` reads as it is: what others than the reader stored is told anew before.
    """

    at: datetime
    text: str
    why: str = ""
    actor: str = ""
    tone: str = "quiet"
    amount: Money | None = None
    url: str = ""


def newest_first(lines: Iterable[Line]) -> list[Line]:
    """Lines of one moment stay the other way round than they came."""
    return sorted(lines, key=lambda line: line.at)[::-1]


def payment_lines(
    payment: Transaction, notes: Iterable[Note], exchanges: Iterable[Exchange]
) -> list[Line]:
    """The payment's own moments, as far as they are known, its notes and its exchanges."""
    processor = payment.get_processor_display()
    paid, tone = _BEGINNINGS.get(payment.status, (_("Paid"), "good"))
    moments = (
        (payment.created_at, paid, tone, payment.amount),
        (payment.settled_at, _("Settled"), "good", None),
        (payment.disputed_at, _("The customer disputes the payment"), "bad", None),
        (payment.voided_at, _("Voided"), "quiet", None),
    )
    lines = [
        Line(at, str(text), actor=processor, tone=tone, amount=amount)
        for at, text, tone, amount in moments
        if at
    ]
    linked = [_exchange_line(payment, exchange) for exchange in exchanges]
    return [*lines, *(_note_line(note) for note in notes), *linked]


def _note_line(note: Note) -> Line:
    text = note.text if len(note.text) <= _SHOWN else f"{note.text[:_SHOWN]}…"
    return Line(note.created_at, _("Note"), why=text, actor=name_of(note.author))


def _exchange_line(payment: Transaction, exchange: Exchange) -> Line:
    is_original = exchange.original_id == payment.pk
    other = exchange.replacement if is_original else exchange.original
    return Line(
        exchange.linked_at,
        _("Exchanged for another payment") if is_original else _("Replaces another payment"),
        why=other.external_id,
        actor=name_of(exchange.linked_by),
        url=reverse("admin:transactions_transaction_change", args=[other.pk]),
    )


def name_of(person: User) -> str:
    """How a line calls somebody of staff."""
    return person.get_full_name() or person.get_username()
