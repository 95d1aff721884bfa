"""Which refunds a list shows, and which transactions by what became of their refunds."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, QuerySet
from django.utils.translation import gettext_lazy as _
from django_filters import rest_framework as filters
from rest_framework.exceptions import ValidationError

from transactions.filters import (
    AccountFilter,
    MomentFilter,
    RegexFilter,
    TransactionFilter,
    TrueOrFalse,
)
from transactions.models import Transaction

from .models import Attention, AttentionKind, Refund
from .states import Origin, Status


class RefundFilter(filters.FilterSet):
    """``created_after`` includes its moment, ``created_before`` does not: windows meet."""

    status = filters.ChoiceFilter(choices=Status.choices)
    transaction = RegexFilter(
        regex=r"\A[0-9]{1,19}\Z", error_messages={"invalid": _("Enter an id.")}
    )
    account = AccountFilter()
    origin = filters.ChoiceFilter(choices=Origin.choices)
    needs_attention = TrueOrFalse(field_name="attention_reason", lookup_expr="isnull", exclude=True)
    created_after = MomentFilter(field_name="created_at", lookup_expr="gte")
    created_before = MomentFilter(field_name="created_at", lookup_expr="lt")


class AttentionFilter(filters.FilterSet):
    """``owner`` is ``me``, ``nobody`` or a username."""

    kind = filters.ChoiceFilter(choices=AttentionKind.choices)
    account = AccountFilter()
    owner = RegexFilter(
        regex=r"\A[\w.@+-]{1,150}\Z",
        error_messages={"invalid": _("Enter me, nobody or a username.")},
        method="filter_owner",
    )

    def filter_owner(
        self, rows: QuerySet[Attention], _name: str, owner: str
    ) -> QuerySet[Attention]:
        if owner == "nobody":
            return rows.filter(owner__isnull=True)
        person = self.request.user if owner == "me" else User.objects.filter(username=owner).first()
        if person is None:
            raise ValidationError({"owner": [_("There is nobody of this username.")]})
        return rows.filter(owner=person)


class RefundableTransactionFilter(TransactionFilter):
    refund_failed = TrueOrFalse(method="filter_failed")
    needs_attention = TrueOrFalse(method="filter_attention")

    def filter_failed(
        self, rows: QuerySet[Transaction], _name: str, wanted: bool
    ) -> QuerySet[Transaction]:
        return _with_refund(rows, Refund.objects.filter(status=Status.FAILED), wanted)

    def filter_attention(
        self, rows: QuerySet[Transaction], _name: str, wanted: bool
    ) -> QuerySet[Transaction]:
        flagged = Refund.objects.filter(attention_reason__isnull=False)
        return _with_refund(rows, flagged, wanted)


def _with_refund(
    rows: QuerySet[Transaction], refunds: QuerySet[Refund], wanted: bool
) -> QuerySet[Transaction]:
    found = Exists(refunds.filter(transaction=OuterRef("pk")))
    return rows.filter(found if wanted else ~found)
