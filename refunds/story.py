"""What a page tells of refunds: each with its attempts, its history, and what may be done next."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db.models import Prefetch, QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from gateways.failures import (
    CAME_BACK,
    MADE_OTHERWISE,
    Action,
    Explanation,
    explain,
    explain_open,
    explain_replaced,
    explain_returned,
    explain_tried_again,
)
from transactions.badges import Badge
from transactions.models import Transaction, TransactionStatus
from transactions.retelling import retell
from transactions.timeline import Line

from . import services
from .approvals import may_decide
from .badges import attempt_badge, case_badge, refund_badge
from .deciding import Decision, decision_of
from .found import is_replaced
from .models import Attention, Refund, RefundAttempt, RefundEvent, Ruling
from .rules import Approver
from .states import Status
from .timeline import event_line

# Milliseconds.
_QUICK, _SLOW = 1500, 20_000
# So long after a refund was asked for somebody is still watching it.
_WATCHED = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Remedy:
    """Something to do about a refund: a press (``is_press``), a dialog or a link."""

    label: str | Promise
    url: str
    is_press: bool = False
    in_dialog: bool = False


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

    def of(self, refund: Refund) -> Remedy:
        address = reverse(f"admin:refunds_refund_{self.name}", args=[refund.pk])
        return Remedy(self.label, address, is_press=True)


@dataclass(frozen=True, slots=True)
class Told:
    """One refund as a page shows it. ``ruling`` waits for a second person."""

    refund: Refund
    badge: Badge
    waits: str  # why it has not left
    decision: Decision | None  # what there is to decide first
    explanation: Explanation | None
    remedies: list[Remedy]  # what the failure playbook advises
    buttons: list[Remedy]  # what is offered besides
    attempts: list[tuple[RefundAttempt, Badge]]
    cases: list[tuple[Attention, Badge]]
    ruling: Ruling | None
    lines: list[Line]


def may_request(about: Refund | Transaction, user: User) -> bool:
    return user.has_perm("refunds.request_refund", about)


def may_cancel(refund: Refund, user: User) -> bool:
    """Who is asked to approve a refund rejects it instead."""
    if may_decide(refund, user):
        return False
    return refund.is_cancelable and services.may_cancel(refund, user)


def _may_retry(refund: Refund, user: User) -> bool:
    """Where the playbook knows why it failed, only if trying again is what it advises."""
    told = _explain(refund, [])
    advised = told is None or Action.TRY_AGAIN in told.actions
    may = advised and services.can_be_retried(refund) and may_request(refund, user)
    is_owed = not refund.is_doubted and not (refund.retry_of and refund.retry_of.counts_as_made)
    may = may and is_owed and not hasattr(refund, "retried_as")
    # Where the playbook advises it, it has looked for what was asked for since.
    return may and (told is not None or not is_replaced(refund))


def _may_hurry(refund: Refund, user: User) -> bool:
    is_free = not (refund.is_held or refund.account.stopped_reason)
    return refund.is_postponed and is_free and may_request(refund, user)


def _may_check(refund: Refund, user: User) -> bool:
    return refund.status in {Status.UNKNOWN, Status.PENDING} and services.may_see_to(refund, user)


_L = gettext_lazy
BUTTONS = {
    button.name: button
    for button in (
        Button(
            "cancel",
            _L("Cancel refund"),
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


def _press(name: str) -> Callable[[Refund, User], Remedy | None]:
    """The remedy that is a button of the refund, while that is offered."""

    def find(refund: Refund, user: User) -> Remedy | None:
        button = BUTTONS[name]
        return button.of(refund) if button.offered(refund, user) else None

    return find


def _pull_again(refund: Refund, user: User) -> Remedy | None:
    if not user.has_perm("transactions.sync_transaction", refund):
        return None
    address = reverse("admin:transactions_transaction_reread", args=[refund.transaction_id])
    return Remedy(_("Pull it again"), address, is_press=True)


def _refund_rest(refund: Refund, user: User) -> Remedy | None:
    left = refund.transaction.refundable_minor
    may = left and may_request(refund, user)
    return _dialog(refund, _("Refund what is left")) if may else None


def _cancel_whole(refund: Refund, user: User) -> Remedy | None:
    payment = refund.transaction
    is_whole = payment.refundable_minor == payment.amount_minor
    unsettled = payment.status == TransactionStatus.CAPTURED
    if not (is_whole and unsettled and may_request(refund, user)):
        return None
    return _dialog(refund, _("Cancel the whole payment"))


def _dialog(refund: Refund, label: str) -> Remedy:
    address = reverse("admin:transactions_transaction_refund", args=[refund.transaction_id])
    return Remedy(label, address, in_dialog=True)


def _open_account(refund: Refund, user: User) -> Remedy | None:
    if not user.has_perm("gateways.view_processoraccount", refund):
        return None
    address = reverse("admin:gateways_processoraccount_change", args=[refund.account_id])
    return Remedy(_("Open the account"), address)


def _write_note(refund: Refund, user: User) -> Remedy | None:
    if not user.has_perm("transactions.add_note", refund):
        return None
    page = reverse("admin:transactions_transaction_change", args=[refund.transaction_id])
    return Remedy(_("Write a note"), f"{page}#id_text")


_REMEDIES: dict[Action, Callable[[Refund, User], Remedy | None]] = {
    Action.PULL_AGAIN: _pull_again,
    Action.TRY_AGAIN: _press("retry"),
    Action.REFUND_REST: _refund_rest,
    Action.CANCEL_WHOLE: _cancel_whole,
    Action.CHECK_NOW: _press("check"),
    Action.OPEN_ACCOUNT: _open_account,
    Action.WRITE_NOTE: _write_note,
}


def load(refunds: QuerySet[Refund]) -> QuerySet[Refund]:
    """The refunds with everything that :func:`tell` reads, in a fixed number of queries."""
    events = Prefetch("events", RefundEvent.objects.select_related("actor"))
    cases = Prefetch("cases", Attention.objects.order_by("raised_at", "pk"))
    rulings = Prefetch("rulings", Ruling.objects.select_related("proposed_by"))
    related = (
        "account",
        "requested_by",
        "approved_by",
        "reason",
        "retried_as",
        "made_as",
        "retry_of__made_as",
    )
    return refunds.select_related(*related).prefetch_related("attempts", events, cases, rulings)


def tell(refunds: Iterable[Refund], user: User) -> list[Told]:
    """The refunds as their page shows them to this person."""
    told = list(refunds)
    approver = Approver(user, told)  # for all of them
    return [_tell(refund, user, approver) for refund in told]


def tell_cases(cases: Iterable[Attention], user: User) -> list[tuple[Attention, Badge]]:
    """Those of the cases that are open and that the person may see."""
    return [
        (case, case_badge(case))
        for case in cases
        if case.closed_at is None and user.has_perm("refunds.view_attention", case)
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


def poll_after_sums(transaction: Transaction, refunds: Iterable[Refund]) -> int | None:
    """As :func:`poll_after`, and soon where the sums are older than the refunds beside them.

    The two are read one after the other, and a worker may settle a refund in between: the line
    would say "in progress" of a refund that it shows as failed, and never ask again.
    """
    refunds = list(refunds)
    reserved = sum(refund.amount_minor for refund in refunds if refund.reserves)
    return _QUICK if reserved != transaction.reserved_minor else poll_after(refunds)


def _tell(refund: Refund, user: User, approver: Approver) -> Told:
    attempts = list(refund.attempts.all())
    explanation = _explain(refund, attempts)
    advised = explanation.actions if explanation else ()
    remedies = [found for action in advised if (found := _REMEDIES[action](refund, user))]
    offered = [button.of(refund) for button in BUTTONS.values() if button.offered(refund, user)]
    return Told(
        refund,
        refund_badge(refund),
        _why_waiting(refund),
        decision_of(refund, user, approver),
        explanation,
        remedies,
        [button for button in offered if button not in remedies],
        [(attempt, attempt_badge(attempt)) for attempt in attempts],
        tell_cases(refund.cases.all(), user),
        refund.waiting_ruling,
        [event_line(refund, event) for event in refund.events.all()],
    )


def _explain(refund: Refund, attempts: list[RefundAttempt]) -> Explanation | None:
    if refund.status == Status.UNKNOWN and attempts:
        return explain_open(refund.transaction.processor, attempts[-1].processor_code)
    told = _explain_end(refund)
    if told and hasattr(refund, "retried_as"):
        return explain_tried_again(told)
    is_advised = told is not None and Action.TRY_AGAIN in told.actions
    return explain_replaced(told) if told and is_advised and is_replaced(refund) else told


def _explain_end(refund: Refund) -> Explanation | None:
    """Why a refund that came to its end gave nothing back, or None."""
    has_ended = refund.status in {Status.FAILED, Status.CANCELED, Status.RETURNED}
    if has_ended and services.is_owed_again(refund):
        return CAME_BACK
    if has_ended and (refund.counts_elsewhere or refund.was_called_off):
        return MADE_OTHERWISE
    if refund.status == Status.RETURNED:
        return explain_returned(refund.failure_code)
    return explain(refund.failure_code) if refund.failure_code else None


def _why_waiting(refund: Refund) -> str:
    """Why a refund has not left, beyond the moment in which it can be undone."""
    if refund.status != Status.QUEUED:
        return ""
    if sentence := services.why_held(refund) or services.waits_for(refund.account):
        return sentence
    last = list(refund.events.all())[-1:] if refund.is_postponed else []
    # The account sends again, so what it waited for is over.
    said = [each.data.get("why", "") for each in last if each.kind != "account_paused"]
    return "".join(map(retell, said))


def _is_due(refund: Refund, now: datetime) -> bool:
    return refund.next_action_at is None or refund.next_action_at <= now + timedelta(seconds=5)
