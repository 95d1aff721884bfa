"""The tones of refunds and attempts (the words stand in :mod:`refunds.states`)."""

from __future__ import annotations

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from transactions.badges import Badge, badge_of

from .models import Refund, RefundAttempt
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


def refund_badge(refund: Refund) -> Badge:
    if refund.is_postponed:
        return Badge(_("Waiting"), TONES[Status.QUEUED])
    return badge_of(Status(refund.status), TONES)


def attempt_badge(attempt: RefundAttempt) -> Badge:
    return badge_of(AttemptState(attempt.state), TONES)
