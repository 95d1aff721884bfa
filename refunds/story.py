"""What a page tells of refunds: each with its attempts, its history, and what may be done next."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db.models import Prefetch, QuerySet
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from gateways.failures import Explanation, explain
from transactions.badges import Badge

from . import services
from .badges import attempt_badge, refund_badge
from .models import Refund, RefundAttempt, RefundEvent
from .states import Origin, Status

# Milliseconds.
_QUICK, _SLOW = 1500, 20_000
# So long after a refund was asked for somebody is still watching it.
_WATCHED = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Button:
    """Something that may be done to a refund: the service behind it, and when it is offered.

    ``done`` says that it was done.
    """

    name: str
    label: str | Promise
    done: str | Promise
    service: Callable[..., Refund]
    offered: Callable[[Refund, User], bool]

    @property
    def url_name(self) -> str:
        return f"admin:refunds_refund_{self.name}"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a timeline."""

    at: datetime
    text: str
    why: str
    actor: str
    tone: str


@dataclass(frozen=True, slots=True)
class Told:
    """One refund as a page shows it."""

    refund: Refund
    badge: Badge
    explanation: Explanation | None
    buttons: list[Button]
    attempts: list[tuple[RefundAttempt, Badge]]
    lines: list[Line]


def may_request(user: User) -> bool:
    return user.has_perm("refunds.request_refund")


def may_cancel(refund: Refund, user: User) -> bool:
    requested = user.pk == refund.requested_by_id and may_request(user)
    return refund.is_cancelable and (requested or user.has_perm("refunds.approve_refund"))


def _may_approve(refund: Refund, user: User) -> bool:
    return (
        refund.status == Status.AWAITING_APPROVAL
        and user.pk != refund.requested_by_id
        and user.has_perm("refunds.approve_refund")
    )


def _may_retry(refund: Refund, user: User) -> bool:
    ended = refund.status in {Status.FAILED, Status.CANCELED} and refund.origin != Origin.EXTERNAL
    return ended and not hasattr(refund, "retried_as") and may_request(user)


def _may_hurry(refund: Refund, user: User) -> bool:
    return refund.is_postponed and may_request(user)


def _may_check(refund: Refund, _user: User) -> bool:
    return refund.status in {Status.UNKNOWN, Status.PENDING}


_L = gettext_lazy
BUTTONS = {
    button.name: button
    for button in (
        Button(
            "approve",
            _L("Approve"),
            _L("Approved; it goes out now."),
            services.approve_refund,
            _may_approve,
        ),
        Button(
            "reject",
            _L("Reject"),
            _L("Rejected; nothing was refunded."),
            services.reject_refund,
            _may_approve,
        ),
        Button(
            "cancel",
            _L("Undo"),
            _L("Canceled; nothing was refunded."),
            services.cancel_refund,
            may_cancel,
        ),
        Button(
            "hurry",
            _L("Try now"),
            _L("It is tried now."),
            services.hurry_refund,
            _may_hurry,
        ),
        Button(
            "check",
            _L("Check now"),
            _L("The processor is being asked."),
            services.check_refund,
            _may_check,
        ),
        Button(
            "retry",
            _L("Try again"),
            _L("Requested again."),
            services.retry_refund,
            _may_retry,
        ),
    )
}

_EVENTS: dict[str, tuple[str | Promise, str]] = {
    "requested": (_L("Requested"), "busy"),
    "approved": (_L("Approved"), "good"),
    "rejected": (_L("Rejected"), "bad"),
    "canceled": (_L("Canceled before it was sent"), "quiet"),
    "hurried": (_L("Told to go out now"), "busy"),
    "waits_for_settlement": (_L("Waits until the payment has settled"), "busy"),
    "waits_for_a_person": (_L("Waits for a person"), "warn"),
    "account_paused": (_L("Waits: the account is paused"), "warn"),
    "authority_lost": (_L("Not sent: who asked may no longer refund"), "bad"),
    "claimed": (_L("Taken up by a worker"), "busy"),
    "sent_again": (_L("Sent once more, under the same reference"), "busy"),
    "accepted": (_L("Accepted by the processor, not final yet"), "busy"),
    "succeeded": (_L("Succeeded"), "good"),
    "refused": (_L("Refused by the processor"), "bad"),
    "not_sent": (_L("Not sent: nothing happened at the processor"), "warn"),
    "no_clear_answer": (_L("No clear answer: the outcome is unknown until proven"), "warn"),
    "lease_expired": (_L("The worker was lost: the outcome is unknown until proven"), "warn"),
    "check_asked": (_L("Asked to check now"), "busy"),
    "needs_attention": (_L("Put before a person"), "warn"),
    "attention_closed": (_L("Settled"), "quiet"),
    "recorded_outside": (_L("Found at the processor: made outside Refund Desk"), "quiet"),
    "returned": (_L("The money came back"), "bad"),
}


def load(refunds: QuerySet[Refund]) -> QuerySet[Refund]:
    """The refunds with everything that :func:`tell` reads, in a fixed number of queries."""
    events = Prefetch("events", RefundEvent.objects.select_related("actor"))
    people = ("requested_by", "approved_by", "reason", "retried_as")
    return refunds.select_related(*people).prefetch_related("attempts", events)


def tell(refunds: Iterable[Refund], user: User) -> list[Told]:
    """The refunds as their page shows them to this person."""
    return [
        Told(
            refund,
            refund_badge(refund),
            explain(refund.failure_code) if refund.failure_code else None,
            [button for button in BUTTONS.values() if button.offered(refund, user)],
            [(attempt, attempt_badge(attempt)) for attempt in refund.attempts.all()],
            [_line(event) for event in refund.events.all()],
        )
        for refund in refunds
    ]


def poll_after(refunds: Iterable[Refund]) -> int | None:
    """In how many milliseconds a page should ask again: None when nothing moves."""
    now = timezone.now()
    waits = [
        _QUICK if now - refund.created_at < _WATCHED or _is_due(refund, now) else _SLOW
        for refund in refunds
        if refund.is_moving
    ]
    return min(waits, default=None)


def timeline(told: Iterable[Told]) -> list[tuple[Refund, Line]]:
    """What happened to all of them, newest first."""
    lines = [(one.refund, line) for one in told for line in one.lines]
    return sorted(lines, key=lambda pair: pair[1].at, reverse=True)


def _is_due(refund: Refund, now: datetime) -> bool:
    return refund.next_action_at is None or refund.next_action_at <= now + timedelta(seconds=5)


def _line(event: RefundEvent) -> Line:
    text, tone = _EVENTS.get(event.kind, (event.kind.replace("_", " ").capitalize(), "quiet"))
    reason = event.data.get("why") or event.data.get("reason") or event.data.get("plan") or ""
    actor = event.actor.get_full_name() or event.actor.get_username() if event.actor else ""
    return Line(event.at, str(text), str(reason), actor or _("Refund Desk"), tone)
