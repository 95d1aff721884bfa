"""What may be said now of a refund whose outcome is not proven, and when the rest may be said."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.utils import formats, timezone
from django.utils.translation import gettext as _

from gateways.base import PaymentGateway
from gateways.registry import gateway_class

from . import schedule
from .clock import database_now
from .models import MAX_ATTEMPTS, Attention, AttentionKind, Refund, RefundAttempt, Verdict
from .states import Status

Condition = Callable[[Refund, RefundAttempt, type[PaymentGateway]], str]


def why_not(refund: Refund, attempt: RefundAttempt | None, verdict: Verdict) -> str:
    """The sentence why a verdict about the live attempt must wait, and how long; '' when it may."""
    if refund.status != Status.UNKNOWN or attempt is None:
        return (
            _("Only a refund whose outcome is unknown can be ruled about. This one is “%s”.")
            % refund.get_status_display()
        )
    return _CONDITIONS[verdict](refund, attempt, gateway_class(refund.account.processor))


def _made(refund: Refund, _attempt: RefundAttempt, gateway: type[PaymentGateway]) -> str:
    if _has_case(refund, AttentionKind.AMOUNT_DIFFERS):
        return (
            _(
                "%s reports another amount than this refund has. Rule that this one was not made: "
                "what was made is then recorded as it is."
            )
            % gateway.label
        )
    return ""


def _not_made(_refund: Refund, attempt: RefundAttempt, gateway: type[PaymentGateway]) -> str:
    from_then = _quiet_from(attempt, gateway)
    if database_now() >= from_then:
        return ""
    return _("%(processor)s may show a refund late: this can be said from %(time)s on.") % {
        "processor": gateway.label,
        "time": _local(from_then),
    }


def _send_again(refund: Refund, attempt: RefundAttempt, gateway: type[PaymentGateway]) -> str:
    if attempt.number >= MAX_ATTEMPTS:
        return (
            _("It was tried %s times. Rule that it was not made, and start a new refund.")
            % attempt.number
        )
    life = gateway.capabilities.idempotency_key_life
    key_ends = _last_sent(attempt) + life if life else None
    same_key = attempt.credential_fingerprint == refund.account.credential_fingerprint
    if key_ends and same_key and database_now() < key_ends:
        return _(
            "%(processor)s knows its key until %(time)s. Until then Refund Desk itself sends the "
            "same request again, which cannot pay twice; after that it can be sent anew."
        ) % {"processor": gateway.label, "time": _local(key_ends)}
    if _has_case(refund, AttentionKind.FOUND_SEVERAL, AttentionKind.AMOUNT_DIFFERS):
        return _("%s reports refunds that may be this one: it must not be sent again.") % (
            gateway.label
        )
    if schedule.is_absent(attempt, gateway.capabilities):
        return ""
    return _what_is_missing(attempt, gateway)


def _what_is_missing(attempt: RefundAttempt, gateway: type[PaymentGateway]) -> str:
    """Which look-ups have to come before the refund may be sent again, and when they count."""
    first = attempt.first_absent_at
    told = {
        "processor": gateway.label,
        "time": _local(first + schedule.ABSENCES_APART if first else _quiet_from(attempt, gateway)),
        "minutes": int(schedule.ABSENCES_APART.total_seconds() // 60),
    }
    if first:
        return (
            _(
                "One complete look-up at %(processor)s did not find it. A second one has to say "
                "the same, from %(time)s on."
            )
            % told
        )
    return (
        _(
            "Two complete look-ups at %(processor)s, %(minutes)s minutes apart, have to miss it "
            "first. They count from %(time)s on."
        )
        % told
    )


_CONDITIONS: dict[Verdict, Condition] = {
    Verdict.HAPPENED: _made,
    Verdict.DID_NOT: _not_made,
    Verdict.SEND_AGAIN: _send_again,
}


def _last_sent(attempt: RefundAttempt) -> datetime:
    return attempt.last_sent_at or attempt.started_at


def _quiet_from(attempt: RefundAttempt, gateway: type[PaymentGateway]) -> datetime:
    """From when on nothing of the attempt can be on its way, or made and not shown yet."""
    speaks_from = schedule.absence_speaks_from(attempt, gateway.capabilities)
    return speaks_from or attempt.started_at + schedule.QUARANTINE


def _has_case(refund: Refund, *kinds: AttentionKind) -> bool:
    return Attention.objects.filter(refund=refund, kind__in=kinds, closed_at__isnull=True).exists()


def _local(at: datetime) -> str:
    return formats.date_format(timezone.localtime(at), "j M Y, H:i")
