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
    StrictSerializer,
    TextField,
    TransactionDetailSerializer,
)

from . import cases, services
from .found import PAID_BESIDES
from .models import Attention, Refund, RefundAttempt, RefundReason, Ruling, RulingState, Verdict
from .states import Status


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


class RulingSerializer(serializers.ModelSerializer[Ruling]):
    """``decided_by`` is null while it is open, and where proof came first."""

    attempt = serializers.IntegerField(source="attempt.number")
    provider_refund_id = serializers.CharField(source="processor_refund_id")
    state = serializers.ChoiceField(choices=RulingState.choices)
    proposed_by = serializers.CharField(source="proposed_by.username")
    decided_by = serializers.CharField(source="decided_by.username", allow_null=True)

    class Meta:
        model = Ruling
        fields = (
            "id",
            "verdict",
            "attempt",
            "evidence",
            "provider_refund_id",
            "state",
            "proposed_by",
            "proposed_at",
            "decided_by",
            "decided_at",
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
    rulings = RulingSerializer(many=True)
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
            "rulings",
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
        if refund.counts_elsewhere:
            told = failures.MADE_OTHERWISE
        elif refund.status == Status.RETURNED:
            told = failures.explain_returned(refund.failure_code)
        else:
            told = failures.explain(refund.failure_code)
        if hasattr(refund, "retried_as"):
            told = failures.explain_tried_again(told)
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
        return services.why_not(transaction)


class NewRefundSerializer(StrictSerializer):
    """Needs ``context["currency"]``: the transaction's."""

    amount = AmountField()
    reason = TextField()
    note = TextField(allow_blank=True, default="")
    expected_refundable = AmountField(required=False)

    def validate_reason(self, code: str) -> RefundReason:
        reason = RefundReason.objects.filter(code=code, is_active=True).first()
        if reason is None:
            offered = RefundReason.objects.filter(is_active=True).values_list("code", flat=True)
            raise serializers.ValidationError(
                _("There is no such reason. Use one of: %s.") % ", ".join(offered)
            )
        return reason


class NewRulingSerializer(StrictSerializer):
    """``provider_refund_id`` is the proof that a refund was made, and needed then."""

    verdict = serializers.ChoiceField(choices=Verdict.choices)
    evidence = TextField(allow_blank=True, default="")
    provider_refund_id = TextField(max_length=100, allow_blank=True, default="")


class CaseSerializer(serializers.ModelSerializer[Attention]):
    """One row of the list of what needs a person."""

    since = serializers.DateTimeField(source="raised_at")
    account = serializers.CharField(source="account.slug")
    transaction = serializers.IntegerField(source="transaction_id", allow_null=True)
    refund = serializers.UUIDField(source="refund_id", allow_null=True)
    webhook = serializers.IntegerField(source="webhook_id", allow_null=True)
    evidence = serializers.DictField()
    owner = serializers.CharField(source="owner.username", allow_null=True)
    closed_by = serializers.CharField(source="closed_by.username", allow_null=True)

    class Meta:
        model = Attention
        fields: tuple[str, ...] = (
            "id",
            "kind",
            "reason",
            "since",
            "account",
            "transaction",
            "refund",
            "webhook",
            "evidence",
            "owner",
            "closed_at",
            "closed_by",
            "outcome",
        )
        read_only_fields = fields


class CaseDetailSerializer(CaseSerializer):
    """``actions`` are what the person who asks may do about it now, the best first.

    ``may_be_twice`` says of what was made outside that as much has gone back besides or is on its
    way, if it is a refund of ours.
    """

    actions = serializers.SerializerMethodField()
    may_be_twice = serializers.SerializerMethodField()

    class Meta(CaseSerializer.Meta):
        fields = (*CaseSerializer.Meta.fields, "actions", "may_be_twice")
        read_only_fields = fields

    def get_may_be_twice(self, case: Attention) -> bool:
        return PAID_BESIDES in case.evidence or cases.is_paid_twice(case)

    @extend_schema_field(serializers.ListField(child=serializers.ChoiceField(list(cases.Action))))
    def get_actions(self, case: Attention) -> list[str]:
        return [action.value for action in cases.actions(case, self.context["request"].user)]


class ApprovalSerializer(serializers.Serializer[Any]):
    """What there is to decide: ``seen`` goes with the approval, which is refused once it changed.

    ``may_not`` is the sentence why this person may not approve it, or null.
    """

    reasons = serializers.ListField(child=serializers.CharField())
    expires_at = serializers.DateTimeField()
    seen = serializers.CharField()
    may_not = serializers.CharField(allow_null=True)


class ApproveSerializer(StrictSerializer):
    seen = TextField(max_length=64, required=False)


class RejectSerializer(StrictSerializer):
    why = TextField(max_length=500, allow_blank=True, default="")


class AcceptSerializer(StrictSerializer):
    note = TextField(allow_blank=True, default="")

    def validate_note(self, note: str) -> str:
        if len(note) > cases.NOTE_LENGTH:
            raise serializers.ValidationError(
                _("Write at most %s characters, or a note on the transaction.") % cases.NOTE_LENGTH
            )
        return note


class NothingSerializer(StrictSerializer):
    """An empty body."""
