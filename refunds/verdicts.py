"""What may be said now of a refund whose outcome is not proven, and when the rest may be said.

That it was made is said with an id, and the processor is asked what that id is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from typing import NamedTuple

from django.utils.translation import gettext as _

from gateways.base import Operation, PaymentGateway, RefundState, ReportedRefund
from gateways.errors import GatewayError
from gateways.registry import gateway_class, open_gateway

from . import schedule
from .clock import database_now, in_words
from .earlier import look_for
from .models import MAX_ATTEMPTS, Attention, AttentionKind, Refund, RefundAttempt, Verdict
from .orders import load_order
from .recording import another_payment
from .states import Status

# One person waits for the answer.
_SECONDS_TO_ASK = 10
Condition = Callable[[Refund, RefundAttempt, type[PaymentGateway]], str]


class Answer(NamedTuple):
    """What a processor says about an id: a sentence against it, or what is left open."""

    against: str = ""
    note: str = ""


def why_not(refund: Refund, attempt: RefundAttempt | None, verdict: Verdict) -> str:
    """The sentence why a verdict about the live attempt must wait, and how long; '' when it may."""
    if attempt is None or not _is_open_to(verdict, refund, attempt):
        return (
            _("Only a refund whose outcome is unknown can be ruled about. This one is “%s”.")
            % refund.get_status_display()
        )
    return _CONDITIONS[verdict](refund, attempt, gateway_class(refund.account.processor))


def _is_open_to(verdict: Verdict, refund: Refund, attempt: RefundAttempt) -> bool:
    """Whether the outcome may be ruled about: it is not proven, or was ruled and is missed since.

    A void has changed its payment too, so what became of that is read from the processor instead.
    """
    if refund.status == Status.UNKNOWN:
        return True
    return (
        verdict == Verdict.DID_NOT
        and refund.status == Status.SUCCEEDED
        and refund.operation == Operation.REFUND
        and _has_case(refund, AttentionKind.MISSING)
        and attempt.rulings.filter(confirmed=True, verdict=Verdict.HAPPENED).exists()
    )


def ask_about(refund: Refund, attempt: RefundAttempt, refund_id: str) -> Answer:
    """Ask the processor whether ``refund_id`` can be what became of an attempt. Not under a lock.

    A processor that cannot be asked says nothing against it.
    """
    try:
        gateway = open_gateway(refund.account)
        with (
            closing(gateway.transport),
            gateway.transport.one_deadline(seconds=_SECONDS_TO_ASK),
        ):
            found = look_for(refund, load_order(attempt, refund_id=refund_id), gateway)
    except GatewayError as error:
        sentence = _("The processor could not be asked about %(id)s: %(why)s")
        return Answer(note=sentence % {"id": refund_id, "why": error})
    if found.matches:
        return _judge(refund, attempt, refund_id, found.matches)
    if found.complete and (against := _against_listed(refund_id, found.likely)):
        return Answer(against=against)
    if found.likely or not found.complete:
        return Answer(note=_("The processor does not say clearly what %s is.") % refund_id)
    sentence = _("%(processor)s knows no refund %(id)s. Look up its id, or wait until it is shown.")
    return Answer(against=sentence % {"processor": gateway.label, "id": refund_id})


def _against_listed(refund_id: str, likely: Sequence[ReportedRefund]) -> str:
    """What it may be are others, each with an id of its own: then the named one is none of them."""
    ids = [each.external_id for each in likely if each.has_own_id]
    if not likely or len(ids) < len(likely) or refund_id in ids:
        return ""
    sentence = _(
        "The processor lists %(listed)s as what this refund may be, and not %(id)s. Look up its "
        "id, or wait until it is shown."
    )
    return sentence % {"listed": ", ".join(ids[:3]), "id": refund_id}


def _judge(
    refund: Refund, attempt: RefundAttempt, refund_id: str, matches: Sequence[ReportedRefund]
) -> Answer:
    """What is found must be the named one, of this payment and amount, and bear no other's name.

    A void, and a refund that has no id of its own, go by the id of their payment.
    """
    own = [each for each in matches if each.external_id == refund_id]
    without_ids = [each for each in matches if not each.has_own_id and each.amount == refund.amount]
    found = [*own, *without_ids, *matches][0]
    is_void = attempt.operation == Operation.VOID
    if contradicting := another_payment(refund, found):
        return Answer(against=contradicting.sentence)
    if found.has_own_id and not is_void and found.external_id != refund_id:
        sentence = _("The processor knows this refund as %(theirs)s, and not as %(id)s.")
        return Answer(against=sentence % {"theirs": found.external_id, "id": refund_id})
    if found.amount != refund.amount:
        sentence = _(
            "The processor reports %(id)s with %(theirs)s, and this refund is of %(ours)s."
        )
        values = {"id": refund_id, "theirs": found.amount, "ours": refund.amount}
        return Answer(against=sentence % values)
    if found.state == RefundState.FAILED:
        return Answer(against=_("The processor reports that %s failed.") % refund_id)
    others = RefundAttempt.objects.filter(reference=found.reference).exclude(refund=refund)
    if found.reference and others.exists():
        sentence = _("%(id)s bears the reference %(reference)s of another refund of ours.")
        return Answer(against=sentence % {"id": refund_id, "reference": found.reference})
    return Answer()


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
        "time": in_words(from_then),
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
        return _what_the_key_brings(attempt, gateway, key_ends)
    if _has_case(refund, AttentionKind.FOUND_SEVERAL, AttentionKind.AMOUNT_DIFFERS):
        return _("%s reports refunds that may be this one: it must not be sent again.") % (
            gateway.label
        )
    if schedule.is_absent(attempt, gateway.capabilities):
        return ""
    return _what_is_missing(attempt, gateway)


def _what_the_key_brings(
    attempt: RefundAttempt, gateway: type[PaymentGateway], key_ends: datetime
) -> str:
    """Why it is not sent anew while the processor knows the key: what happens until then."""
    told = {"processor": gateway.label, "time": in_words(key_ends)}
    if schedule.key_is_good(attempt, gateway.capabilities, database_now()):
        return (
            _(
                "%(processor)s knows its key until %(time)s. Until then Refund Desk itself sends "
                "the same request again, which cannot pay twice; after that it can be sent anew."
            )
            % told
        )
    return (
        _(
            "%(processor)s knows its key until %(time)s, and Refund Desk does not send it again by "
            "itself any more. Until then only look-ups tell; after that it can be sent anew."
        )
        % told
    )


def _what_is_missing(attempt: RefundAttempt, gateway: type[PaymentGateway]) -> str:
    """Which look-ups have to come before the refund may be sent again, and when they count."""
    first = attempt.first_absent_at
    counts_from = first + schedule.ABSENCES_APART if first else _quiet_from(attempt, gateway)
    told = {
        "processor": gateway.label,
        "minutes": int(schedule.ABSENCES_APART.total_seconds() // 60),
    }
    if first:
        missing = _(
            "One complete look-up at %(processor)s did not find it. A second one has to say the "
            "same."
        )
    else:
        missing = _(
            "Two complete look-ups at %(processor)s, %(minutes)s minutes apart, have to miss it "
            "first."
        )
    if database_now() >= counts_from:
        following = _("Ask the processor now.")
    else:
        following = _("That counts from %s on.") % in_words(counts_from)
    return f"{missing % told} {following}"


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
    return Attention.objects.open().filter(refund=refund, kind__in=kinds).exists()
