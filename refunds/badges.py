"""The tones of refunds, attempts and cases (the words stand in :mod:`refunds.states`)."""

from __future__ import annotations

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from transactions.badges import Badge, badge_of

from .models import Attention, AttentionKind, Refund, RefundAttempt
from .states import AttemptState, Status

TONES: dict[TextChoices, str] = {
    Status.AWAITING_APPROVAL: "warn",
    Status.QUEUED: "busy",
    Status.SENDING: "busy",
    Status.UNKNOWN: "warn",
    Status.PENDING: "busy",
    Status.SUCCEEDED: "good",
    Status.FAILED: "bad",
    Status.CANCELED: "quiet",
    Status.RETURNED: "bad",
    AttemptState.STARTED: "busy",
    AttemptState.ACCEPTED: "good",
    AttemptState.DECLINED: "bad",
    AttemptState.NOT_SENT: "warn",
    AttemptState.AMBIGUOUS: "warn",
    AttemptState.RULED_OUT: "quiet",
}
# Apart, because some of its words are words of the table above. bad: money went where it should
# not have; warn: somebody has to decide; info: nothing is lost.
CASE_TONES: dict[TextChoices, str] = {
    AttentionKind.UNKNOWN_OUTCOME: "warn",
    AttentionKind.PENDING_LONG: "warn",
    AttentionKind.NOT_APPROVED: "warn",
    AttentionKind.FOUND_SEVERAL: "bad",
    AttentionKind.AMOUNT_DIFFERS: "bad",
    AttentionKind.OVER_REFUNDED: "bad",
    AttentionKind.MADE_OUTSIDE: "info",
    AttentionKind.RETURNED: "bad",
    AttentionKind.PAID_AFTER_ALL: "bad",
    AttentionKind.MISSING: "bad",
    AttentionKind.UNPLACED: "warn",
    AttentionKind.DISPUTED: "bad",
    AttentionKind.NOT_SENT: "warn",
    AttentionKind.STUCK: "warn",
    AttentionKind.ACCOUNT_PAUSED: "warn",
    AttentionKind.WEBHOOK_FAILED: "warn",
}


def refund_badge(refund: Refund) -> Badge:
    if refund.is_postponed:
        return Badge(_("Waiting"), TONES[Status.QUEUED])
    return badge_of(Status(refund.status), TONES)


def attempt_badge(attempt: RefundAttempt) -> Badge:
    state = AttemptState(attempt.state)
    if state == AttemptState.ACCEPTED and attempt.refund.is_taken_back:
        state = AttemptState.RULED_OUT
    return badge_of(state, TONES)


def case_badge(case: Attention) -> Badge:
    return Badge(case.kind_label, CASE_TONES[AttentionKind(case.kind)])
