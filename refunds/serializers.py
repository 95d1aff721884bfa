"""Refunds as JSON, and what asks for one."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field, inline_serializer
from rest_framework import serializers

from gateways import failures
from transactions.models import Transaction
from transactions.serializers import (
    AmountField,
    FreeTextField,
    StrictSerializer,
    TextField,
    TransactionDetailSerializer,
)

from . import decision
from .models import Refund, RefundAttempt, RefundReason


class AttemptSerializer(serializers.ModelSerializer[RefundAttempt]):
    provider_code = serializers.CharField(source="processor_code")
    provider_message = serializers.CharField(source="processor_message")

    class Meta:
        model = RefundAttempt
        fields = (
            "number",
            "operation",
            "state",
            "sends",
            "started_at",
            "ended_at",
            "provider_code",
            "provider_message",
        )
        read_only_fields = fields


_Attention = inline_serializer(
    "Attention",
    {"reason": serializers.CharField(), "since": serializers.DateTimeField()},
    allow_null=True,
)
_Failure = inline_serializer(
    "Failure",
    {
        name: serializers.CharField()
        for name in ("code", "provider_code", "provider_message", "explanation", "next_step")
    },
    allow_null=True,
)


class RefundSerializer(serializers.ModelSerializer[Refund]):
    """``failure`` explains in the language of the request what the processor said."""

    transaction = serializers.IntegerField(source="transaction_id")
    account = serializers.CharField(source="account.slug")
    amount = AmountField()
    reason = serializers.CharField(source="reason_id", allow_null=True)
    attention = serializers.SerializerMethodField()
    provider_refund_id = serializers.CharField(source="processor_refund_id", allow_null=True)
    failure = serializers.SerializerMethodField()
    attempts = AttemptSerializer(many=True)
    requested_by = serializers.CharField(source="requested_by.username", allow_null=True)
    approved_by = serializers.CharField(source="approved_by.username", allow_null=True)

    class Meta:
        model = Refund
        fields = (
            "id",
            "transaction",
            "account",
            "amount",
            "currency",
            "operation",
            "origin",
            "status",
            "reason",
            "note",
            "attention",
            "provider_refund_id",
            "failure",
            "attempts",
            "requested_by",
            "approved_by",
            "created_at",
            "finished_at",
        )
        read_only_fields = fields

    @extend_schema_field(_Attention)
    def get_attention(self, refund: Refund) -> dict[str, Any] | None:
        if refund.attention_since is None:
            return None
        since = serializers.DateTimeField().to_representation(refund.attention_since)
        return {"reason": refund.attention_reason, "since": since}

    @extend_schema_field(_Failure)
    def get_failure(self, refund: Refund) -> dict[str, str] | None:
        if not refund.failure_code:
            return None
        told = failures.explain(refund.failure_code)
        return {
            "code": refund.failure_code,
            "provider_code": refund.failure_processor_code,
            "provider_message": refund.failure_message,
            "explanation": str(told.explanation),
            "next_step": str(told.next_step),
        }


class RefundableTransactionSerializer(TransactionDetailSerializer):
    """``refund_blocked`` is the sentence why nothing can be refunded now, or null."""

    refund_blocked = serializers.SerializerMethodField()
    refunds = RefundSerializer(many=True)

    class Meta(TransactionDetailSerializer.Meta):
        fields = (*TransactionDetailSerializer.Meta.fields, "refund_blocked", "refunds")
        read_only_fields = fields

    def get_refund_blocked(self, transaction: Transaction) -> str | None:
        return decision.why_not(transaction)


class NewRefundSerializer(StrictSerializer):
    """Needs ``context["currency"]``: the transaction's."""

    amount = AmountField()
    reason = TextField()
    note = FreeTextField(allow_blank=True, default="")
    expected_refundable = AmountField(required=False)

    def validate_reason(self, code: str) -> RefundReason:
        reason = RefundReason.objects.filter(code=code, is_active=True).first()
        if reason is None:
            offered = RefundReason.objects.filter(is_active=True).values_list("code", flat=True)
            raise serializers.ValidationError(
                _("There is no such reason. Use one of: %s.") % ", ".join(offered)
            )
        return reason


class NothingSerializer(StrictSerializer):
    """An empty body."""
