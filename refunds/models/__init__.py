"""The rows of this app. Import them from here."""

from .attention import HOLD, Attention, AttentionKind, Ruling, RulingState, Verdict
from .audit_line import AuditLine
from .circuit import CircuitBreaker
from .doubt import Doubt, DoubtAnswer
from .reconciliation import Reconciliation
from .refund import (
    MAX_ATTEMPTS,
    MAX_SENDS,
    TAKEN_BACK,
    Refund,
    RefundAttempt,
    RefundEvent,
    RefundQuerySet,
    RefundReason,
)
from .rule import ApprovalRule, RuleKind
from .webhook import WebhookEvent, WebhookState

__all__ = [
    "HOLD",
    "MAX_ATTEMPTS",
    "MAX_SENDS",
    "TAKEN_BACK",
    "ApprovalRule",
    "Attention",
    "AttentionKind",
    "AuditLine",
    "CircuitBreaker",
    "Doubt",
    "DoubtAnswer",
    "Reconciliation",
    "Refund",
    "RefundAttempt",
    "RefundEvent",
    "RefundQuerySet",
    "RefundReason",
    "RuleKind",
    "Ruling",
    "RulingState",
    "Verdict",
    "WebhookEvent",
    "WebhookState",
]
