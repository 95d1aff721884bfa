"""Which transactions a list shows. Every filter that narrows by a column has an index behind it."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, TypeVar

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet, Value
from django.db.models.functions import Coalesce, Lower
from django.utils.translation import gettext_lazy as _
from django_filters import rest_framework as filters
from django_filters.fields import IsoDateTimeField
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework.request import Request

from access.scoping import visible_accounts
from gateways.models import Processor, ProcessorAccount
from gateways.moments import in_utc
from gateways.money import CURRENCIES

from .models import THOUSANDTHS, Customer, RefundProgress, Transaction, TransactionStatus

# A longer search is cut: nobody types that many words, and each one is a look into the index.
_SEARCH_WORDS = 8
_BOUND = re.compile(r"\A[0-9]{1,10}(\.[0-9]{1,3})?\Z", re.ASCII)


def bounded(rows: QuerySet[Transaction], lookup: str, text: str) -> QuerySet[Transaction]:
    """The transactions of at least (``gte``) or at most (``lte``) an amount in major units.

    Each is compared in its own currency. Raises ValueError for what is no amount.
    """
    bound = read_bound(text)
    return rows.alias(thousandths=THOUSANDTHS).filter(**{f"thousandths__{lookup}": bound})


def read_bound(text: str) -> int:
    """An amount in major units of any currency, in thousandths of one. Raises ValueError."""
    if not _BOUND.match(text):
        raise ValueError(text)
    whole, _dot, fraction = text.partition(".")
    return int(whole + fraction.ljust(3, "0"))


_Row = TypeVar("_Row", Transaction, Customer)


class RegexFilter(filters.Filter):
    """A filter whose text must match ``regex``; write it with its ends."""

    field_class = forms.RegexField


@extend_schema_field(OpenApiTypes.BOOL)
class TrueOrFalse(filters.TypedChoiceFilter):
    """``true`` or ``false``, and nothing that might mean either."""

    def __init__(self, **options: Any) -> None:
        choices = [("true", _("yes")), ("false", _("no"))]
        super().__init__(choices=choices, coerce="true".__eq__, empty_value=None, **options)


@extend_schema_field(OpenApiTypes.STR)
class AmountBound(RegexFilter):
    """A bound in major units, compared in each transaction's own currency."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            regex=_BOUND,
            error_messages={"invalid": _("Enter an amount such as 12.50.")},
            **options,
        )

    def filter(self, qs: QuerySet[Transaction], value: str) -> QuerySet[Transaction]:
        return bounded(qs, self.lookup_expr, value) if value else qs


class MomentField(IsoDateTimeField):
    """A time of any offset, in UTC: PostgreSQL takes fewer offsets than ISO 8601 has."""

    def to_python(self, value: Any) -> datetime | None:
        moment = super().to_python(value)
        try:
            return in_utc(moment) if moment else None
        except ValueError:
            raise ValidationError(self.error_messages["invalid"], code="invalid") from None


class MomentFilter(filters.IsoDateTimeFilter):
    field_class = MomentField


def _accounts(request: Request | None) -> QuerySet[ProcessorAccount]:
    if request is None:
        return ProcessorAccount.objects.none()
    view: Any = request.parser_context["view"]
    return visible_accounts(request, view.rights["list"])


class AccountFilter(filters.ModelChoiceFilter):
    """By the account's name, among those that the request may see."""

    def __init__(self) -> None:
        super().__init__(field_name="account", to_field_name="slug", queryset=_accounts)


def search(rows: QuerySet[_Row], text: str) -> QuerySet[_Row]:
    """The transactions or customers that hold every word of the text, in what is searched."""
    for word in text.split()[:_SEARCH_WORDS]:
        # The database lowers both sides, so that they agree in every alphabet.
        rows = rows.filter(search_text__contains=Lower(Value(word)))
    return rows


class TransactionFilter(filters.FilterSet):
    """``created_after`` includes its moment, ``created_before`` does not: windows meet."""

    processor = filters.ChoiceFilter(choices=Processor.choices)
    account = AccountFilter()
    refund_state = filters.ChoiceFilter(choices=RefundProgress.choices)
    status = filters.ChoiceFilter(choices=TransactionStatus.choices)
    currency = filters.ChoiceFilter(choices=[(code, code) for code in sorted(CURRENCIES)])
    amount_min = AmountBound(lookup_expr="gte")
    amount_max = AmountBound(lookup_expr="lte")
    created_after = MomentFilter(field_name="created_at", lookup_expr="gte")
    created_before = MomentFilter(field_name="created_at", lookup_expr="lt")
    customer = filters.CharFilter(
        method="filter_customer", max_length=320, help_text=_("The customer's id or e-mail.")
    )
    search = filters.CharFilter(
        method="filter_search",
        min_length=2,
        max_length=320,
        help_text=_("Part of an id, name, e-mail, order reference, or the last four digits."),
    )

    def filter_customer(
        self, rows: QuerySet[Transaction], _name: str, value: str
    ) -> QuerySet[Transaction]:
        if value.isascii() and value.isdigit():
            return rows.filter(customer_id=value)
        known = Customer.objects.filter(email=value.lower())
        return rows.filter(customer__in=known.values(key=Coalesce("merged_into", "pk")))

    def filter_search(
        self, rows: QuerySet[Transaction], _name: str, value: str
    ) -> QuerySet[Transaction]:
        return search(rows, value)
