"""What people ask for: request a refund, call it off, try it again, approve it, look it up.

Each function is one short database transaction and never talks to a processor. Locks are taken in
the order transaction → refund → attempt → event. Refusals are exceptions with a sentence for the
person who asked; nothing was written then.
"""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog
from django.conf import settings
from django.db import IntegrityError
from django.db import transaction as database
from django.db.models import F, Model
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from gateways.money import Money
from transactions.models import TAKEN, Transaction

from . import decision
from .attention import close_cases
from .doubts import answer, reopen
from .found import came_back, is_replaced, made_already
from .history import record_event
from .models import (
    Attention,
    AttentionKind,
    DoubtAnswer,
    Refund,
    RefundQuerySet,
    RefundReason,
)
from .people import is_requester
from .policy import Reason
from .publishing import publish_after_commit
from .rules import reasons_under_lock, told
from .states import CANCELABLE, HOLDABLE, Origin, Status
from .transitions import lock_refund, move

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from gateways.models import ProcessorAccount


_MAY_NOT_REFUND = gettext_lazy("You may not refund transactions of this account.")
_PAID_OTHERWISE = gettext_lazy(
    "The money of this refund went back already. Ask for a new refund if more is owed."
)


_CALLED_OFF = gettext_lazy(
    "It was called off because the money had gone back then. Ask for a new refund if it is owed."
)
_REPLACED = gettext_lazy(
    "As much was asked for since, by another refund of this payment. Ask for a new refund if more "
    "is owed."
)


class RefundRefused(Exception):
    """The refund cannot be made. ``refundable`` is the balance as it is now."""

    def __init__(self, code: str, sentence: str, refundable: Money) -> None:
        super().__init__(sentence)
        self.code = code
        self.refundable = refundable


class RequestConflict(Exception):
    """The idempotency key was used before, for another request."""


class NotAllowed(Exception):
    """The person lacks the right. ``str()`` names it."""


class WrongStatus(Exception):
    """The refund's status does not allow this. ``str()`` says why."""


def request_refund(
    *,
    transaction: Transaction,
    amount: Money,
    reason: RefundReason | None,
    note: str,
    requested_by: User,
    idempotency_key: str,
    origin: Origin = Origin.STAFF,
    expected_refundable: Money | None = None,
    words: str = "",
    retry_of: Refund | None = None,
    approved_by: User | None = None,
    is_bulk: bool = False,
) -> tuple[Refund, bool]:
    """Reserve the amount and queue a refund; the worker does the rest.

    Where a rule wants it, it waits for another person to approve it, unless ``approved_by`` has.
    Returns the refund, and whether this call made it: the same key with the same request returns
    the first refund again. The keys of a person are their own, and so are those of tries again.
    One of many (``is_bulk``) waits for a sweep, and leaves after what was asked for by itself;
    ``approved_by`` has to be allowed to approve when it leaves.

    Raises:
        NotAllowed: without the permission ``refunds.request_refund``.
        RequestConflict: the key belongs to another request.
        RefundRefused: the refund cannot work, or the balance is not what the person saw.
    """
    require(requested_by, "refunds.request_refund", _MAY_NOT_REFUND, transaction)
    refund = Refund(
        transaction=transaction,
        account_id=transaction.account_id,
        mode=transaction.mode,
        currency=transaction.currency,
        amount_minor=amount.minor,
        origin=origin,
        status=Status.QUEUED,
        reason=reason,
        note=note,
        words=words,
        requested_by=requested_by,
        retry_of=retry_of,
        approved_by=approved_by,
        is_bulk=is_bulk,
        idem_scope="retry" if retry_of else f"user:{requested_by.pk}",
        idem_key=idempotency_key,
    )
    refund.request_hash = _request_hash(refund, amount, expected_refundable)
    # One of many was hardly ever asked for before: then its key is found to be taken below.
    if not is_bulk and (earlier := _same_request(refund)):
        return earlier, False
    try:
        with database.atomic():
            _reserve(transaction, amount, expected_refundable)
            asks_others = approved_by is None
            _record_request(
                refund,
                reasons_under_lock(transaction, amount, requested_by, retry_of)
                if asks_others
                else [],
            )
    except RefundRefused:
        # A twin of this very request may have taken the balance a moment ago.
        if earlier := _same_request(refund):
            return earlier, False
        raise
    except IntegrityError as error:
        if earlier := _same_request(refund):
            return earlier, False
        raise error from None
    return refund, True


def cancel_refund(refund: Refund, *, actor: User) -> Refund:
    """Call a refund off before anything can have left, and give its money back to the balance.

    Raises NotAllowed or WrongStatus.
    """
    if not may_cancel(refund, actor):
        raise NotAllowed(
            _("Only who requested a refund, or who may approve refunds, may cancel it.")
        )
    return call_off(refund, actor=actor)


def retry_refund(refund: Refund, *, actor: User, origin: Origin = Origin.STAFF) -> Refund:
    """Try again: a failed or canceled refund is requested anew, a waiting one goes out at once.

    A refund that ended keeps its end; trying again makes one new refund of the same amount, however
    often this is called, and whoever does. Where that one was called off, and what it was called
    off for came back, it is tried again in its turn. Raises NotAllowed, WrongStatus or
    RefundRefused.
    """
    require(actor, "refunds.request_refund", _MAY_NOT_REFUND, refund)
    if refund.status == Status.QUEUED:
        return hurry_refund(refund, actor=actor)
    with database.atomic():
        return _try_again(lock_refund(refund.pk), actor, origin)


def can_be_retried(refund: Refund) -> bool:
    """Whether it ended without giving anything back, as far as its own status goes."""
    ended = refund.status in {Status.FAILED, Status.CANCELED} or refund.is_taken_back
    return ended and refund.origin != Origin.EXTERNAL


def is_owed_again(refund: Refund) -> bool:
    """Whether it was called off because its money had gone back, and that came back since."""
    return refund.was_called_off and came_back(refund) and not made_already(refund)


def hurry_refund(refund: Refund, *, actor: User) -> Refund:
    """Have a queued refund tried at once, such as one that waits for settlement.

    Raises NotAllowed or WrongStatus, also while nothing is sent through its account.
    """
    require(actor, "refunds.request_refund", _MAY_NOT_REFUND, refund)
    if refund.status != Status.QUEUED:
        raise WrongStatus(_("Only a refund that waits can be hurried."))
    if sentence := why_held(refund) or waits_for(refund.account):
        raise WrongStatus(sentence)
    return _hurry(refund, actor=actor, kind="hurried")


def let_go(refund: Refund, *, actor: User) -> Refund:
    """Say that what its processor lists beside a waiting refund is another one: this one goes out.

    By a second person, and it closes the case. Raises NotAllowed or WrongStatus.
    """
    may_not = _("You may not let refunds of this account go.")
    require(actor, "refunds.approve_refund", may_not, refund)
    if is_requester(refund, actor):
        raise NotAllowed(_("Another person than who asked for it has to let it go."))
    with database.atomic():
        locked = lock_refund(refund.pk)
        case = waits_for_a_person(locked)
        if case is None:
            raise WrongStatus(_("Only what waits for a person can be let go."))
        if made_already(locked):
            raise WrongStatus(_PAID_OTHERWISE)
        listed = case.evidence["listed"]
        answer(locked, listed, DoubtAnswer.ANOTHER, actor)
        locked = _hurry(locked, actor=actor, kind="let_go", data={"listed": listed})
        said = _("What the processor lists is another refund, so this one was let go.")
        close_cases(locked, {AttentionKind.NOT_SENT}, said, by=actor)
    return locked


def hold_back(refunds: RefundQuerySet) -> int:
    """Let nothing of these leave until they are released; how many were held.

    Also of one that a worker has in hand, or that comes back from being unknown. Rows that somebody
    holds are left for the next time.
    """
    return _mark(refunds.filter(is_held=False, status__in=HOLDABLE), is_held=True)


def release(refunds: RefundQuerySet) -> int:
    """Let those leave that were held back; how many."""
    return _mark(refunds.filter(is_held=True), is_held=False)


def _mark(refunds: RefundQuerySet, *, is_held: bool) -> int:
    with database.atomic():
        free = refunds.order_by("pk").select_for_update(of=("self",), skip_locked=True)
        keys = list(free.values_list("pk", flat=True))
        return Refund.objects.filter(pk__in=keys).update(is_held=is_held, enqueued_at=None)


def call_off(
    refund: Refund, *, actor: User | None, kind: str = "canceled", why: str = "", **changes: str
) -> Refund:
    """Cancel a refund by a decision whose right was asked for when it was taken.

    ``kind`` names the event, ``changes`` are of its columns. Raises WrongStatus.
    """
    with database.atomic():
        locked = lock_refund(refund.pk)
        if locked.status not in CANCELABLE:
            raise WrongStatus(
                _("This refund can no longer be canceled: its status is “%s”.")
                % locked.get_status_display()
            )
        reopen(locked, actor)  # before any event is written
        data = {"why": why} if why else None
        move(locked, Status.CANCELED, kind, actor=actor, data=data, changes=changes)
    return locked


def waits_for_a_person(refund: Refund) -> Attention | None:
    """The open case of a queued refund that names what may be it, or None."""
    asked = Attention.objects.open().filter(kind=AttentionKind.NOT_SENT, evidence__has_key="listed")
    return asked.filter(refund=refund).first() if refund.status == Status.QUEUED else None


def check_refund(refund: Refund, *, actor: User) -> Refund:
    """Ask the processor about a refund without a proven outcome as soon as a worker is free.

    Asking never makes it be sent again sooner. Raises NotAllowed or WrongStatus.
    """
    if not may_see_to(refund, actor):
        raise NotAllowed(_("Only who may request or approve refunds may ask the processor."))
    if refund.status not in {Status.UNKNOWN, Status.PENDING}:
        raise WrongStatus(_("Only a refund that is unknown or pending can be checked."))
    return _hurry(refund, actor=actor, kind="check_asked")


def blocked(transaction: Transaction) -> decision.Blocked | None:
    """What stands against asking for a refund, or None. A held account only makes it wait."""
    account = transaction.account
    found = decision.blocked(transaction)
    if found or (account.is_active and not account.paused_reason):
        return found
    sentence = _("Refunds of account %(account)s are paused: %(why)s")
    why = account.paused_reason or _("it is switched off.")
    return decision.Blocked("paused", sentence % {"account": account, "why": why})


def why_not(transaction: Transaction) -> str | None:
    """The sentence of :func:`blocked`, or None when a refund may be asked for."""
    found = blocked(transaction)
    return found.sentence if found else None


def waits_for(account: ProcessorAccount) -> str:
    """That what is queued for the account waits, and why; empty while it sends."""
    why = account.stopped_reason
    return why and _("It waits, and goes out by itself when its account sends again. %s") % why


def why_held(refund: Refund) -> str:
    """The sentence of a refund that is held back, or ''."""
    return _("It waits: its campaign is paused or canceled.") if refund.is_held else ""


def plan_in_words(transaction: Transaction, amount: Money) -> str:
    """How a refund that is asked for now will be done; what waits for its account is not "now"."""
    planned, waits = decision.plan(transaction, amount), waits_for(transaction.account)
    return waits if waits and planned.is_now else f"{planned.sentence} {waits}".strip()


def may_cancel(refund: Refund, person: User) -> bool:
    """Whether the person has the right to call the refund off, should its status allow it."""
    own = person.pk == refund.requested_by_id and person.has_perm("refunds.request_refund", refund)
    return own or person.has_perm("refunds.approve_refund", refund)


def may_see_to(about: Model, person: User) -> bool:
    """Whether the person may request or approve refunds of an account: then they may see to open
    ones, too.
    """
    rights = ("refunds.request_refund", "refunds.approve_refund")
    return person.is_active and any(person.has_perm(right, about) for right in rights)


def require(person: User, permission: str, sentence: str | Promise, about: Model) -> None:
    """Raise NotAllowed, with the sentence, for who is switched off or lacks the right there."""
    if not (person.is_active and person.has_perm(permission, about)):
        raise NotAllowed(str(sentence))


def _request_hash(refund: Refund, amount: Money, expected_refundable: Money | None) -> bytes:
    asked = [
        refund.transaction_id,
        amount.minor,
        amount.currency,
        refund.reason_id,
        refund.note,
        expected_refundable.minor if expected_refundable else None,
    ]
    # Only where there are some, so that a request of before there could be any is the same one.
    asked += [refund.words] if refund.words else []
    return hashlib.sha256(json.dumps(asked).encode()).digest()


def _same_request(refund: Refund) -> Refund | None:
    earlier = Refund.objects.filter(idem_scope=refund.idem_scope, idem_key=refund.idem_key).first()
    if earlier and bytes(earlier.request_hash) != refund.request_hash:
        raise RequestConflict(
            _("This idempotency key was already used for another refund. Use a new key.")
        )
    return earlier


def _reserve(transaction: Transaction, amount: Money, expected: Money | None) -> None:
    """Take the amount from the balance in one conditional UPDATE, or refuse.

    The condition reads only columns of the row itself, so that PostgreSQL evaluates it again after
    waiting for a competitor; a sum over refund rows would be stale.
    """
    payable = Transaction.objects.filter(
        pk=transaction.pk, status__in=TAKEN, disputed=False, currency=amount.currency,
        amount_minor__gte=F("refunded_minor") + F("reserved_minor") + amount.minor,
    )  # fmt: skip
    if expected is not None:
        payable = payable.filter(
            amount_minor=F("refunded_minor") + F("reserved_minor") + expected.minor
        )
    _refuse_if_blocked(transaction, amount)
    if not payable.update(reserved_minor=F("reserved_minor") + amount.minor):
        transaction.refresh_from_db()
        _refuse_if_blocked(transaction, amount)
        left = transaction.refundable
        if expected is not None and expected != left:
            raise RefundRefused(
                "balance_changed",
                _("What can be refunded has changed to %s since you looked. Check and try again.")
                % left,
                left,
            )
        raise RefundRefused(
            "exceeds_refundable",
            _(
                "%(amount)s is more than the %(left)s that can still be refunded. "
                "Enter %(left)s or less."
            )
            % {"amount": amount, "left": left},
            left,
        )


def _refuse_if_blocked(transaction: Transaction, amount: Money) -> None:
    left = transaction.refundable
    if amount.currency != transaction.currency or amount.minor <= 0:
        raise RefundRefused(
            "invalid_amount",
            _("The amount must be above zero and in %s, the currency of the payment.")
            % transaction.currency,
            left,
        )
    # Nothing left is found by the UPDATE itself, which knows whether the balance just changed.
    found = blocked(transaction) or decision.check_step(transaction, amount)
    if found and found.code != "exceeds_refundable":
        raise RefundRefused(found.code, found.sentence, left)


def _record_request(refund: Refund, why: list[Reason]) -> None:
    """Write the refund down, queued or, where there is a reason, waiting for another person."""
    refund.operation = decision.plan(refund.transaction, refund.amount).operation.value
    refund.created_at = timezone.now()
    if why:
        refund.needs_approval, refund.status = True, Status.AWAITING_APPROVAL
    else:
        refund.next_action_at = Now() + timedelta(seconds=settings.UNDO_SECONDS)
    refund.save(force_insert=True)
    if not refund.is_bulk:  # nobody shows those
        refund.refresh_from_db(fields=["next_action_at"])
    record_event(
        refund,
        "requested",
        to_status=refund.status,
        actor=refund.requested_by,
        data={
            "amount_minor": refund.amount_minor,
            "currency": refund.currency,
            "plan": plan_in_words(refund.transaction, refund.amount),
            **told(why),
            **_asked_in(),
        },
    )
    # While it can be undone the row waits for the sweep, and many at once do; otherwise a worker
    # starts at once.
    if not (why or settings.UNDO_SECONDS or refund.is_bulk):
        publish_after_commit(refund)


def _asked_in() -> dict[str, str]:
    """The id of the request or task under way, by which the log tells what became of it."""
    names = structlog.contextvars.get_contextvars()
    return {"request_id": names["request_id"]} if "request_id" in names else {}


def _try_again(ended: Refund, actor: User, origin: Origin) -> Refund:
    """One that ended, its payment locked: nothing is asked for beside it while this judges."""
    if not can_be_retried(ended):
        raise WrongStatus(_("Only what failed, was canceled or is queued can be tried again."))
    if made_already(ended):
        raise WrongStatus(_PAID_OTHERWISE)
    if ended.was_called_off and not is_owed_again(ended):
        raise WrongStatus(_CALLED_OFF)
    if ended.is_doubted:
        raise WrongStatus(
            _(
                "It may have been sent before the restore. Look for it at the processor, and ask "
                "for a new refund if the customer is still owed the money."
            )
        )
    if again := Refund.objects.filter(retry_of=ended).first():
        return _try_again(again, actor, origin) if again.was_called_off else again
    if is_replaced(ended):
        raise WrongStatus(_REPLACED)
    renewed, _created = request_refund(
        transaction=ended.transaction,
        amount=ended.amount,
        reason=ended.reason,
        note=ended.note,
        words=ended.words,
        requested_by=actor,
        origin=origin,
        idempotency_key=str(ended.pk),
        retry_of=ended,
    )
    return renewed


def _hurry(refund: Refund, *, actor: User, kind: str, data: dict[str, Any] | None = None) -> Refund:
    with database.atomic():
        locked = lock_refund(refund.pk)
        if locked.status != refund.status:
            raise WrongStatus(_("The refund's status has just changed. Look at it again."))
        # A person gives it new turns, also after it took some workers with it.
        locked.next_action_at, locked.enqueued_at, locked.unfinished = Now(), None, 0
        locked.save(update_fields=["next_action_at", "enqueued_at", "unfinished"])
        record_event(locked, kind, actor=actor, data=data)
        if locked.status == Status.QUEUED:
            publish_after_commit(locked)
    return locked
