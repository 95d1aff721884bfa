"""One send of one attempt: claimed, counted, sent and recorded under a lease.

Three database transactions with the processor's call between them, never inside. Who holds the
``fence`` may write; who loses the lease may only bring evidence.
"""

from __future__ import annotations

import time

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.db import transaction as database
from django.db.models import Exists, F, OuterRef
from django.db.models.functions import Coalesce, Now

from gateways.base import Operation, PaymentGateway
from gateways.errors import GatewayError, OutcomeUnknown
from gateways.failpoints import reach

from .clock import database_now
from .doubts import standing_doubts
from .found import made_already
from .history import record_event
from .models import MAX_SENDS, Refund, RefundAttempt
from .orders import build_order, dump_order, hash_order, load_order
from .recording import Answer, record_answer
from .states import AttemptState, Status
from .transitions import lock_refund
from .turns import LEASE, lease_owner, listening

log = structlog.get_logger(__name__)

# A send starts only with this much of the lease left beyond the processor's own limit.
_MARGIN_SECONDS = 5
# Seconds between tries to record an answer: a database that restarts is back by then.
_DATABASE_WAITS = (0.2, 1, 3, 5)


def claim(refund: Refund, operation: Operation, *, to_send: bool = True) -> RefundAttempt | None:
    """Take a queued refund and write its next attempt down, in one commit.

    None when another worker was faster, or when its money has gone back otherwise at this very
    moment, or may have: its next turn calls it off, or asks a person. Whoever finds that holds the
    payment, as is done here.
    """
    with database.atomic():
        locked = lock_refund(refund.pk)
        if made_already(locked) or (to_send and (locked.is_held or standing_doubts(locked))):
            return None
        taken = Refund.objects.filter(
            pk=refund.pk, status=Status.QUEUED, next_action_at=refund.next_action_at
        ).update(
            status=Status.SENDING,
            operation=operation,
            fence=F("fence") + 1,
            claims=F("claims") + 1,
            lease_owner=lease_owner(),
            lease_until=Now() + LEASE,
        )
        if not taken:
            return None
        reach("after-claim")
        refund.refresh_from_db()
        number = refund.attempts.count() + 1
        order = dump_order(build_order(refund, operation, number))
        attempt = RefundAttempt.objects.create(
            refund=refund,
            account_id=refund.account_id,
            mode=refund.mode,
            credential_fingerprint=refund.account.credential_fingerprint,
            number=number,
            operation=operation,
            reference=order["reference"],
            order=order,
            order_hash=hash_order(order),
            state=AttemptState.STARTED,
            fence=refund.fence,
            started_at=database_now(),
        )
        record_event(
            refund,
            "claimed",
            from_status=Status.QUEUED,
            to_status=Status.SENDING,
            data={"attempt": number, "reference": attempt.reference, "operation": operation},
        )
    reach("after-attempt-commit")
    return attempt


def deliver(attempt: RefundAttempt, gateway: PaymentGateway, claiming: float) -> None:
    """Send a claimed attempt and record what came of it.

    ``claiming`` is the monotonic time just before the claim. A worker that slept through most of
    its lease must not start to send: the sweep has taken the refund, or will. The transport looks
    at the same limit just before the first byte.
    """
    needed = settings.PROVIDER_TIMEOUT_SECONDS + _MARGIN_SECONDS
    not_after = claiming + LEASE.total_seconds() - needed
    if time.monotonic() < not_after and _mark_sent(attempt):
        record(attempt, _call(attempt, gateway, not_after))


def record(attempt: RefundAttempt, answer: Answer) -> None:
    """Record an answer though the database may be gone for a moment: it may be the only proof.

    Recording twice does no harm, and so a commit without a reply is simply repeated.
    """
    for wait in _DATABASE_WAITS:
        try:
            record_answer(attempt, attempt.fence, answer)
        except (OperationalError, InterfaceError):
            log.warning("answer_waits_for_the_database", attempt=str(attempt.pk))
            connection.close()
            time.sleep(wait)
        else:
            return
    record_answer(attempt, attempt.fence, answer)


def _call(attempt: RefundAttempt, gateway: PaymentGateway, not_after: float) -> Answer:
    # The attempt was read before this send was counted: a time in the order tells the adapter that
    # it was sent before, so that a 401 or 429 now proves nothing.
    order = load_order(attempt)
    move_money = gateway.void if order.operation is Operation.VOID else gateway.refund
    try:
        # However many calls the adapter makes, they end well within the lease.
        with listening(attempt.account_id), gateway.transport.one_deadline(not_after=not_after):
            return move_money(order)
    except GatewayError as error:
        return error
    except Exception as error:
        # A bug of ours after the request may have left: the outcome is unknown, and never lost.
        log.exception("gateway_raised", attempt=str(attempt.pk))
        return OutcomeUnknown(
            f"Refund Desk failed while it read the answer ({type(error).__name__}).",
            exchanges=gateway.transport.take_exchanges(),
        )


def _mark_sent(attempt: RefundAttempt) -> bool:
    """Count the send before the first byte leaves.

    False when the lease is lost or the sends are used up: then nothing may leave.
    """
    holds = Refund.objects.filter(
        pk=OuterRef("refund_id"), fence=attempt.fence, status=Status.SENDING
    )
    return bool(
        RefundAttempt.objects.filter(
            Exists(holds),
            pk=attempt.pk,
            state__in=[AttemptState.STARTED, AttemptState.AMBIGUOUS],
            sends__lt=MAX_SENDS,
        ).update(
            sends=F("sends") + 1,
            fence=attempt.fence,
            first_sent_at=Coalesce("first_sent_at", Now()),
            last_sent_at=Now(),
            first_absent_at=None,
            last_absent_at=None,
        )
    )
