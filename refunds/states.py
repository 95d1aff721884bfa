"""The life of a refund and of an attempt, said once.

Models, services, screens and documentation read the tables below; the database trigger holds the
same edges, and a test compares the two pair by pair.
"""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Status(models.TextChoices):
    AWAITING_APPROVAL = "awaiting_approval", _("Awaiting approval")
    QUEUED = "queued", _("Queued")
    SENDING = "sending", _("Sending")
    UNKNOWN = "unknown", _("Outcome unknown")
    PENDING = "pending", _("Pending at the processor")
    SUCCEEDED = "succeeded", _("Succeeded")
    FAILED = "failed", _("Failed")
    CANCELED = "canceled", _("Canceled")
    RETURNED = "returned", _("Returned")


S = Status

# From → to. Anything else is refused by the database.
EDGES: dict[Status, frozenset[Status]] = {
    S.AWAITING_APPROVAL: frozenset({S.QUEUED, S.CANCELED}),
    S.QUEUED: frozenset({S.SENDING, S.CANCELED, S.AWAITING_APPROVAL}),
    S.SENDING: frozenset({S.PENDING, S.SUCCEEDED, S.FAILED, S.UNKNOWN, S.QUEUED}),
    S.UNKNOWN: frozenset({S.SENDING, S.QUEUED, S.PENDING, S.SUCCEEDED, S.FAILED}),
    S.PENDING: frozenset({S.SUCCEEDED, S.FAILED}),
    S.SUCCEEDED: frozenset({S.RETURNED}),
    S.FAILED: frozenset({S.SUCCEEDED}),
    S.CANCELED: frozenset(),
    S.RETURNED: frozenset(),
}

# A refund in one of these holds its money back from further refunds.
RESERVING = frozenset({S.AWAITING_APPROVAL, S.QUEUED, S.SENDING, S.UNKNOWN, S.PENDING})
# Made at its processor, and neither failed nor come back.
STANDING = frozenset({S.PENDING, S.SUCCEEDED})
# In these the page goes on asking how it went.
MOVING = frozenset({S.QUEUED, S.SENDING, S.UNKNOWN, S.PENDING})
# What may leave by itself, at once or when somebody has approved it.
HOLDABLE = MOVING | {S.AWAITING_APPROVAL}
# A person may call a refund off only before anything can have left.
CANCELABLE = frozenset({S.AWAITING_APPROVAL, S.QUEUED})


class AttemptState(models.TextChoices):
    STARTED = "started", _("Started")
    ACCEPTED = "accepted", _("Accepted")
    DECLINED = "declined", _("Refused")
    NOT_SENT = "not_sent", _("Not sent")
    AMBIGUOUS = "ambiguous", _("No clear answer")
    RULED_OUT = "ruled_out", _("Ruled out")


A = AttemptState

ATTEMPT_EDGES: dict[AttemptState, frozenset[AttemptState]] = {
    A.STARTED: frozenset({A.ACCEPTED, A.DECLINED, A.NOT_SENT, A.AMBIGUOUS}),
    A.AMBIGUOUS: frozenset({A.ACCEPTED, A.DECLINED, A.RULED_OUT}),
    A.ACCEPTED: frozenset(),
    A.DECLINED: frozenset(),
    A.NOT_SENT: frozenset(),
    A.RULED_OUT: frozenset(),
}

# While an attempt is in one of these, no other identity may be sent for its refund.
LIVE_ATTEMPTS = frozenset({A.STARTED, A.AMBIGUOUS, A.ACCEPTED})


class Origin(models.TextChoices):
    """Who started a refund."""

    STAFF = "staff", _("Staff")
    API = "api", _("API")
    EXTERNAL = "external", _("Outside Refund Desk")
