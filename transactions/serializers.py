"""Transactions and notes as JSON."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError as InvalidText
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from gateways.money import InvalidAmount, Money, parse_amount
from gateways.validators import KEPT_TEXT

from .amounts import explain
from .models import Note, RefundProgress, Transaction

_NOTE_LENGTH = 5000


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields that it does not know: a slip in a name must not pass for a missing value."""

    def to_internal_value(self, data: Any) -> Any:
        if unknown := sorted(set(data) - set(self.fields))[:20]:
            raise serializers.ValidationError(
                {name[:50]: [_("There is no such field.")] for name in unknown}
            )
        return super().to_internal_value(data)


class TextField(serializers.CharField):
    """A string that is a string, of at most 5,000 characters, without card numbers and keys."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": _NOTE_LENGTH} | options)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        text = super().to_internal_value(data)
        try:
            for refuse in KEPT_TEXT:
                refuse(text)
        except InvalidText as error:
            raise serializers.ValidationError(error.messages) from None
        return text


@extend_schema_field(
    {"type": "string", "pattern": r"^[0-9]+(\.[0-9]{1,3})?$", "examples": ["12.50"]}
)
class AmountField(serializers.Field[Money, Any, str, Any]):
    """An amount above zero as text in major units, of the currency in ``context["currency"]``."""

    def to_internal_value(self, data: Any) -> Money:
        try:
            return parse_amount(data, self.context["currency"])
        except InvalidAmount as error:
            raise serializers.ValidationError(explain(error)) from None

    def to_representation(self, value: Money) -> str:
        return value.major()


class CustomerSerializer(serializers.Serializer[Transaction]):
    """The payer; ``id`` is null where the processor names no e-mail to know them by."""

    id = serializers.IntegerField(source="customer_id", allow_null=True)
    name = serializers.CharField(source="customer_name")
    email = serializers.CharField(source="customer_email")
    locale = serializers.CharField(source="customer.locale", default="", read_only=True)


class PaymentMethodSerializer(serializers.Serializer[Transaction]):
    type = serializers.CharField(source="method_type")
    brand = serializers.CharField()
    last4 = serializers.CharField()
    wallet = serializers.CharField()


class NoteSerializer(serializers.ModelSerializer[Note]):
    author = serializers.CharField(source="author.username")

    class Meta:
        model = Note
        fields = ("id", "text", "author", "created_at")


class NewNoteSerializer(StrictSerializer):
    text = TextField()


class TransactionSerializer(serializers.ModelSerializer[Transaction]):
    """One row of the list."""

    account = serializers.CharField(source="account.slug")
    amount = AmountField()
    refunded = AmountField()
    reserved = AmountField()
    refundable = AmountField()
    refund_state = serializers.ChoiceField(choices=RefundProgress.choices)
    customer = CustomerSerializer(source="*")
    payment_method = PaymentMethodSerializer(source="*")

    class Meta:
        model = Transaction
        fields: tuple[str, ...] = (
            "id",
            "account",
            "processor",
            "external_id",
            "amount",
            "currency",
            "refunded",
            "reserved",
            "refundable",
            "refund_state",
            "status",
            "disputed",
            "created_at",
            "settled_at",
            "customer",
            "payment_method",
            "order_reference",
            "description",
        )
        read_only_fields = fields


class TransactionDetailSerializer(TransactionSerializer):
    notes = NoteSerializer(many=True)

    class Meta(TransactionSerializer.Meta):
        fields = (*TransactionSerializer.Meta.fields, "notes")
        read_only_fields = fields
