"""One row of an import file as a payment, or the sentences that say why it is none."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from django.utils import timezone
from django.utils.translation import gettext as _

from gateways.base import Payer, Payment, PaymentMethod, PaymentStatus
from gateways.card_numbers import holds_card_number
from gateways.models import ProcessorAccount
from gateways.money import CURRENCIES, InvalidAmount, Money, parse_amount

from .amounts import explain
from .models import Transaction
from .text import clean

Value = TypeVar("Value")

REQUIRED = ("external_id", "amount", "currency", "created_at", "status")
OPTIONAL = (
    "customer_name",
    "customer_email",
    "method_type",
    "brand",
    "last4",
    "wallet",
    "order_reference",
    "description",
    "settled_at",
    "disputed",
)

_METHOD_TYPES = ("card", "bank", "wallet", "other")
_ID = re.compile(r"[!-~]{1,100}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_OLDEST = datetime(2000, 1, 1, tzinfo=UTC)
_ONE_DAY = timedelta(days=1)  # clocks and time zones


class RowReader:
    """Reads the rows of one file for one account."""

    def __init__(self, account: ProcessorAccount) -> None:
        self.account = account
        self.latest = timezone.now() + _ONE_DAY
        self._row: Mapping[str, str] = {}
        self._errors: list[str] = []

    def read(self, row: Mapping[str, str]) -> Payment | list[str]:
        """The payment of a row, or every sentence about it."""
        self._row, self._errors = row, []
        external_id = self._take("external_id", self._id)
        currency = self._take("currency", self._currency)
        amount = self._take("amount", lambda text: _amount(text, currency)) if currency else None
        created_at = self._take("created_at", self._time)
        settled_at = self._take("settled_at", self._time)
        status = self._take("status", _status)
        disputed = self._take("disputed", _flag)
        payer = Payer(self._text("customer_name"), self._take("customer_email", self._email) or "")
        method = PaymentMethod(
            self._take("method_type", _method_type) or "other",
            self._text("brand"),
            self._take("last4", _last4) or "",
            self._text("wallet"),
        )
        order_reference, description = self._text("order_reference"), self._text("description")
        if created_at and settled_at and settled_at < created_at:
            self._errors.append(_("settled_at: It lies before created_at."))
        if self._errors or not (external_id and amount and status and created_at):
            return self._errors
        return Payment(
            external_id=external_id,
            amount=amount,
            status=status,
            created_at=created_at,
            settled_at=settled_at,
            disputed=bool(disputed),
            payer=payer,
            method=method,
            order_reference=order_reference,
            description=description,
        )

    def _take(self, column: str, read: Callable[[str], Value]) -> Value | None:
        """What a cell says; None where it is empty and may be, or wrong and noted."""
        text = self._row.get(column, "")
        if not text and column not in REQUIRED:
            return None
        try:
            return read(text)
        except ValueError as error:
            self._errors.append(f"{column}: {error}")
            return None

    def _text(self, column: str) -> str:
        field = Transaction._meta.get_field(column)
        size = getattr(field, "max_length", 0)
        return self._take(column, lambda text: _free_text(text, size)) or ""

    def _id(self, text: str) -> str:
        if not _ID.fullmatch(text):
            raise ValueError(_("Write the processor's id, 1 to 100 characters without spaces."))
        return _free_text(text, 100)

    def _currency(self, text: str) -> str:
        if text not in CURRENCIES:
            raise ValueError(explain(InvalidAmount("unknown_currency", currency=text[:20])))
        only = self.account.currency
        if only and text != only:
            raise ValueError(_("The account takes %s only.") % only)
        return text

    def _email(self, text: str) -> str:
        if not _EMAIL.fullmatch(text):
            raise ValueError(_("This is not an e-mail address."))
        return _free_text(text, 320)

    def _time(self, text: str) -> datetime:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise ValueError(_("Write the time with its time zone, such as 2026-07-01T12:00:00Z."))
        if not _OLDEST <= moment <= self.latest:
            raise ValueError(_("The time lies in the future or before the year 2000."))
        return moment.astimezone(UTC)


def _amount(text: str, currency: str) -> Money:
    try:
        return parse_amount(text, currency)
    except InvalidAmount as error:
        raise ValueError(explain(error)) from None


def _free_text(text: str, size: int) -> str:
    if len(text) > size:
        raise ValueError(_("The text is longer than %d characters.") % size)
    if holds_card_number(text):
        raise ValueError(
            _("This looks like a card number, which is not stored: leave the last four digits.")
        )
    return clean(text, size)


def _one_of(text: str, options: tuple[str, ...]) -> str:
    if text not in options:
        raise ValueError(_("Write one of: %s.") % ", ".join(options))
    return text


def _status(text: str) -> PaymentStatus:
    return PaymentStatus(_one_of(text, tuple(PaymentStatus)))


def _method_type(text: str) -> str:
    return _one_of(text, _METHOD_TYPES)


def _flag(text: str) -> bool:
    return _one_of(text, ("true", "false")) == "true"


def _last4(text: str) -> str:
    if not re.fullmatch(r"[0-9]{4}", text, re.ASCII):
        raise ValueError(_("Write all four digits, such as 0005."))
    return text
