"""The rows of this app. Import them from here."""

from .attention import HOLD, Attention, AttentionKind, Ruling, RulingState, Verdict
from .audit_line import AuditLine
from .circuit import CircuitBreaker
from .doubt import Doubt, DoubtAnswer
from .limit import ApprovalLimit
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
from .webhook import WebhookEvent, WebhookState

__all__ = [
    "HOLD",
    "MAX_ATTEMPTS",
    "MAX_SENDS",
    "TAKEN_BACK",
    "ApprovalLimit",
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
    "Ruling",
    "RulingState",
    "Verdict",
    "WebhookEvent",
    "WebhookState",
]
