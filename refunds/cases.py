"""What people do with the cases that need them: take, hand over, accept; and what keeps them tidy.

Whatever touches a case about a refund holds the refund's lock first, because the refund repeats its
oldest open case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from django.db import IntegrityError
from django.db import transaction as database
from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from gateways.models import ProcessorAccount
from gateways.registry import gateway_class

from . import rulings, services
from .approvals import may_decide
from .attention import choose_owner, close_cases, flag
from .clock import in_words
from .doubts import answer
from .external import record_as_ours
from .found import PAID_BESIDES, count_for, is_paid_besides, may_be
from .history import record_event
from .models import Attention, AttentionKind, DoubtAnswer, Refund, Ruling, Verdict
from .people import is_requester
from .placing import is_whole, ours_like, reported_in
from .services import (
    NotAllowed,
    WrongStatus,
    may_see_to,
    waits_for,
    waits_for_a_person,
)
from .states import STANDING, Status
from .sweeps import one_pass
from .transitions import lock_refund

if TYPE_CHECKING:
    from django.contrib.auth.models import User

K = AttentionKind

# What a person says when they close a case.
NOTE_LENGTH = 300
# Only proof, or a ruling of two people, answers these.
ANSWERED_BY_PROOF = frozenset({K.UNKNOWN_OUTCOME, K.PENDING_LONG, K.STUCK})
# While the refund is still to be sent, these would be raised again at once.
_SETTLED_BY_SENDING = frozenset({K.STUCK, K.NOT_SENT})
# Whoever asked for the refund may take note of these.
_OWNER_MAY_ACCEPT = frozenset({K.RETURNED, K.NOT_SENT})
_OURS = gettext_lazy("It is the refund of ours that counted as not made.")
# How the subject begins when rejected credentials paused an account.
_CREDENTIALS = "account:"


class Action(StrEnum):
    """What a person may do about a case."""

    ASK_NOW = "ask_now"  # services.check_refund
    TRY_NOW = "try_now"  # services.hurry_refund, for one that still waits
    APPROVE = "approve"  # services.approve_refund, for one that awaits it
    REJECT = "reject"
    CANCEL = "cancel"  # services.cancel_refund, for one that still waits
    CONFIRM_HAPPENED = "confirm_happened"  # rulings.propose, Verdict.HAPPENED
    CONFIRM_DID_NOT = "confirm_did_not"
    SEND_AGAIN = "send_again"
    CONFIRM_RULING = "confirm_ruling"  # the open one, as the second person
    REJECT_RULING = "reject_ruling"
    PROCESS_WEBHOOK = "process_webhook"
    CHECK_ACCOUNT = "check_account"
    LET_GO = "let_go"  # services.let_go, as the second person
    COUNT_AS_OURS = "count_as_ours"
    ACCEPT = "accept"
    TAKE = "take"
    HAND_OVER = "hand_over"
    OPEN = "open"


# What was ruled made can be ruled not made while it is missed.
_RULED_ABOUT = frozenset({Status.UNKNOWN, Status.SUCCEEDED})
_PROPOSES = {
    Verdict.HAPPENED: Action.CONFIRM_HAPPENED,
    Verdict.DID_NOT: Action.CONFIRM_DID_NOT,
    Verdict.SEND_AGAIN: Action.SEND_AGAIN,
}


def take(case: Attention, actor: User) -> Attention:
    """Make the person the owner. Raises NotAllowed, or WrongStatus for a closed case."""
    if not may_own(case, actor):
        raise NotAllowed(_("Only who may request or approve refunds can own a case."))
    with _held(case) as held:
        _give(held, actor, actor)
    return held


def hand_over(case: Attention, to: User, actor: User) -> Attention:
    """Give the case to somebody else, by its owner or who may approve refunds.

    Raises NotAllowed, or WrongStatus for a closed case or a person who cannot own it.
    """
    with _held(case) as held:
        if not may(Action.HAND_OVER, held, actor):
            raise NotAllowed(_("Only its owner, or who may approve refunds, may hand it over."))
        if not may_own(held, to):
            raise WrongStatus(
                _("%s may neither request nor approve refunds. Choose somebody who does.") % to
            )
        _give(held, to, actor)
    return held


def accept(case: Attention, actor: User, note: str = "") -> Attention:
    """Close a case because a person has looked at it: the facts stand as they are.

    Raises NotAllowed, or WrongStatus for a case that only proof answers.
    """
    with _held(case) as held:
        if sentence := why_not_accepted(held):
            raise WrongStatus(sentence)
        if not may(Action.ACCEPT, held, actor):
            raise NotAllowed(_("You may not accept this. Hand it to who may approve refunds."))
        outcome = outcome_of(note)
        _let_go_what_waited(held, actor)  # before any event is written
        if held.refund:
            close_cases(held.refund, {K(held.kind)}, outcome, actor, is_typed=bool(note.strip()))
        else:
            Attention.objects.filter(pk=held.pk).close(outcome, actor)
    held.refresh_from_db()
    return held


def _let_go_what_waited(accepted: Attention, actor: User) -> None:
    """What was made outside is another refund: what waited to know that has its turn."""
    if not may_let_go(accepted) or accepted.refund is None:
        return
    answer(accepted.refund, [accepted.refund.processor_refund_id or ""], DoubtAnswer.ANOTHER, actor)
    alike = {"transaction": accepted.transaction_id, "amount_minor": accepted.refund.amount_minor}
    asked = Attention.objects.open().filter(kind=K.NOT_SENT, refund__isnull=False)
    waiting = Refund.objects.waiting(Status.QUEUED).filter(**alike, pk__in=asked.values("refund"))
    waiting.make_due()


def may_let_go(case: Attention) -> bool:
    """Whether accepting the case lets go what waits: what was made outside is another refund."""
    return case.kind == K.MADE_OUTSIDE


def outcome_of(note: str) -> str:
    """What a case that was accepted says at its end."""
    return note.strip()[:NOTE_LENGTH] or _("Accepted")


def let_go(case: Attention, actor: User) -> Attention:
    """Send the refund that waits for a person: what its processor lists is another one.

    Raises NotAllowed or WrongStatus.
    """
    with _held(case) as held:
        if not may(Action.LET_GO, held, actor):
            raise NotAllowed(why_forbidden(Action.LET_GO))
        if held.refund is None or held.kind != K.NOT_SENT:
            raise WrongStatus(_("No refund waits for this case."))
        services.let_go(held.refund, actor=actor)
    return case


def count_as_ours(case: Attention, actor: User, note: str = "") -> Attention:
    """Close a case because what was made is a refund of ours that counted as not made.

    Nothing of that is owed any more: it is not tried again, and what tries it again is called off
    when its turn comes. Raises NotAllowed, or WrongStatus where no refund of ours is named.
    """
    with _payment_of_ours(case), _held(case) as held:
        if not may(Action.COUNT_AS_OURS, held, actor):
            raise NotAllowed(_("You may not say so. Hand it to who may approve refunds."))
        ours = like_ours(held)
        if ours is None:
            raise WrongStatus(_("No refund of ours that counts as not made is like this one."))
        ours = lock_refund(ours.pk)  # before any event is written
        why = f"{_OURS} {note.strip()}".strip()[:NOTE_LENGTH]
        is_besides = is_paid_besides(ours)
        made_as = _count(held, ours, why, actor)
        answer(ours, [made_as.processor_refund_id or ""], DoubtAnswer.OURS, actor)
        if is_besides:
            twice = _("It was made as %s, and as much went back besides: it may be paid twice.")
            flag(ours, K.FOUND_SEVERAL, twice % made_as.processor_refund_id)
    held.refresh_from_db()
    return held


@contextmanager
def _payment_of_ours(case: Attention) -> Iterator[None]:
    """Lock what a case without a payment names, before the case: as a sync does that places it."""
    with database.atomic():
        ours = like_ours(case) if case.refund_id is None else None
        if ours:
            lock_refund(ours.pk)
        yield


def is_ours(case: Attention) -> bool:
    """Whether what the case is about counts as a refund of ours."""
    if case.refund:
        return hasattr(case.refund, "counts_for")
    named = Refund.objects.filter(
        account=case.account_id, processor_refund_id=case.evidence.get("refund", "")
    )
    return named.filter(counts_for__isnull=False).exists()


def _count(case: Attention, ours: Refund, why: str, actor: User) -> Refund:
    """Let a case's refund be ours, and close it. What has no payment yet gets that of ours."""
    said = str(_OURS)  # without what was typed, which stays on the case
    if case.refund:
        count_for(case.refund, ours, said, actor)
        close_cases(case.refund, {K.MADE_OUTSIDE}, why, actor, is_typed=why != said)
        return case.refund
    Attention.objects.filter(pk=case.pk).close(why, actor)
    try:
        with database.atomic():
            return record_as_ours(ours, reported_in(case), said, actor)
    except IntegrityError:  # a sync has found its payment at this very moment
        raise WrongStatus(_("It is counted by now. Look at the payment again.")) from None


def like_ours(case: Attention) -> Refund | None:
    """The refund of ours that one made elsewhere may be, as things are now."""
    if case.closed_at:
        return None
    if case.kind == K.UNPLACED:
        return ours_like(case) if is_whole(case) else None
    outside = case.refund
    if case.kind != K.MADE_OUTSIDE or outside is None or outside.status not in STANDING:
        return None
    return may_be(outside, case.evidence.get("may_be", ""))


def is_paid_twice(case: Attention) -> bool:
    """Whether as much may have gone back besides, if what was made outside is ours.

    Not where the case has said so from the first.
    """
    ours = None if PAID_BESIDES in case.evidence else like_ours(case)
    return ours is not None and is_paid_besides(ours)


def why_not_accepted(case: Attention) -> str:
    """The sentence why nobody can close the case, and what does; '' when people can."""
    if case.kind in _SETTLED_BY_SENDING and case.refund and case.refund.status == Status.QUEUED:
        sentence = _("This closes by itself when the refund is made or canceled. %s")
        try_it = _("Have it tried now.") if case.kind == K.STUCK else ""
        return (sentence % (waits_for(case.refund.account) or try_it)).strip()
    if case.refund and (case.kind, case.refund.status) == (
        K.NOT_APPROVED,
        Status.AWAITING_APPROVAL,
    ):
        return _("This closes by itself when the refund is approved, rejected or canceled.")
    if case.kind in ANSWERED_BY_PROOF:
        return _(
            "This closes by itself when it is proven what became of the refund: by what the "
            "processor answers, or by two people who rule what happened."
        )
    return _why_stopped(case) if case.kind == K.ACCOUNT_PAUSED else ""


def free_from(hold: Attention) -> datetime:
    """When the processor of a held account lists whatever was made before the hold."""
    return hold.raised_at + gateway_class(hold.account.processor).capabilities.lookup_lag


def _why_stopped(case: Attention) -> str:
    account = case.account
    if case.is_hold:
        return _what_frees(case) if account.held_reason else ""
    if not account.paused_reason:
        return ""
    return (
        _("This closes by itself when an administrator has entered credentials that %s accepts.")
        % account.get_processor_display()
    )


def _what_frees(hold: Attention) -> str:
    account, since = hold.account, datetime.fromisoformat(hold.evidence["since"])
    sentence = _(
        "This closes by itself when everything since %(since)s has been compared with "
        "%(processor)s, at %(time)s or later. Refund Desk does so every hour. Whoever runs the "
        "server can have it done at that time: manage.py recover"
    ) % {
        "since": in_words(since),
        "processor": account.get_processor_display(),
        "time": in_words(free_from(hold)),
    }
    if not account.is_active:
        switched_off = _("It has to be switched on first.")
        return f"{sentence}. {switched_off}"
    if not account.paused_reason:
        return sentence
    rejected = _("Its credentials have to be accepted first: %s") % account.paused_reason
    return f"{sentence}. {rejected}"


def actions(case: Attention, user: User) -> list[Action]:
    """What the person may do about the case now, the best first."""
    if case.closed_at or not user.is_active:
        return [Action.OPEN]
    offered = _about_refund(case.refund, user) if case.refund else []
    if case.webhook_id:
        offered.append(Action.PROCESS_WEBHOOK)
    if case.kind == K.ACCOUNT_PAUSED and not case.is_hold:
        offered.append(Action.CHECK_ACCOUNT)
    if case.kind == K.NOT_SENT and case.refund and waits_for_a_person(case.refund):
        offered.append(Action.LET_GO)
    if case.refund and case.refund.is_cancelable and not _rejects(case, user):
        offered.append(Action.CANCEL)
    if like_ours(case):
        offered.append(Action.COUNT_AS_OURS)
    if not why_not_accepted(case):
        offered.append(Action.ACCEPT)
    if case.owner_id != user.pk:
        offered.append(Action.TAKE)
    offered.append(Action.HAND_OVER)
    return [*(action for action in offered if may(action, case, user)), Action.OPEN]


def may(action: Action, case: Attention, user: User) -> bool:
    """Whether the person has the right to do this about the case, should its state allow it."""
    return user.is_active and _RIGHTS[action](case, user)


def why_forbidden(action: Action) -> str:
    """The sentence for who may not, where it is not just a right that is missing; or ''."""
    if action != Action.LET_GO:
        return ""
    return _("Another person than who asked for it, who may approve refunds, has to let it go.")


def may_own(case: Attention, user: User) -> bool:
    """Whether the case can be this person's: who may rule may own."""
    return rulings.may_propose(case, user)


def reassign_orphans() -> int:
    """Give open cases whose owner is gone or switched off to somebody active; how many."""
    orphans = Attention.objects.open().filter(Q(owner__isnull=True) | Q(owner__is_active=False))
    given = 0
    for case in one_pass(orphans.order_by("raised_at", "pk")):
        try:
            with _held(case) as held:
                if held.owner is None or not held.owner.is_active:
                    given += _give(held, choose_owner(held.refund or held.account), None)
        except WrongStatus:  # closed meanwhile
            continue
    return given


def close_resumed_accounts() -> int:
    """Close the cases of accounts whose credentials work again; how many."""
    resumed = Attention.objects.open().filter(
        kind=K.ACCOUNT_PAUSED, subject__startswith=_CREDENTIALS, account__paused_reason=""
    )
    closed = 0
    for case in one_pass(resumed):
        with database.atomic():
            # Who pauses it writes the account first: either sees what the other did.
            account = ProcessorAccount.objects.select_for_update().get(pk=case.account_id)
            if not account.paused_reason:
                closed += Attention.objects.filter(pk=case.pk).close(_("The account works again"))
    return closed


def _about_refund(refund: Refund, user: User) -> list[Action]:
    """What the refund allows to do now, to whoever has the right."""
    offered = []
    if refund.status in {Status.UNKNOWN, Status.PENDING}:
        offered.append(Action.ASK_NOW)
    if refund.status == Status.QUEUED and not refund.account.stopped_reason:
        offered.append(Action.TRY_NOW)
    if refund.status == Status.AWAITING_APPROVAL:
        offered += [Action.APPROVE, Action.REJECT]
    ruling = Ruling.objects.open().filter(refund=refund).first()
    if ruling:
        if rulings.may_confirm(ruling, user):
            offered.append(Action.CONFIRM_RULING)
        if rulings.may_reject(ruling, user):
            offered.append(Action.REJECT_RULING)
    elif refund.status in _RULED_ABOUT and rulings.may_propose(refund, user):
        missing = rulings.allowed(refund)
        offered += [action for verdict, action in _PROPOSES.items() if not missing[verdict]]
    return offered


def _rejects(case: Attention, user: User) -> bool:
    """Who is asked to approve a refund rejects it instead of canceling it."""
    return case.refund is not None and may_decide(case.refund, user)


def _may_accept(case: Attention, user: User) -> bool:
    owns = case.owner_id == user.pk and case.kind in _OWNER_MAY_ACCEPT
    return user.has_perm("refunds.approve_refund", case) or (
        owns and user.has_perm("refunds.request_refund", case)
    )


def _may_cancel(case: Attention, user: User) -> bool:
    return case.refund is not None and services.may_cancel(case.refund, user)


def _may_decide(case: Attention, user: User) -> bool:
    is_own = case.refund is not None and is_requester(case.refund, user)
    return not is_own and user.has_perm("refunds.approve_refund", case)


def _may_hand_over(case: Attention, user: User) -> bool:
    owns = case.owner_id == user.pk and may_own(case, user)
    return owns or user.has_perm("refunds.approve_refund", case)


def _may_reject(case: Attention, user: User) -> bool:
    """Whoever may approve, and who proposed something: a second press finds it withdrawn."""
    proposed = Ruling.objects.filter(refund=case.refund_id, proposed_by=user)
    return user.has_perm("refunds.approve_refund", case) or proposed.exists()


def _needs(permission: str) -> Callable[[Attention, User], bool]:
    return lambda case, user: user.has_perm(permission, case)


_RIGHTS: dict[Action, Callable[[Attention, User], bool]] = {
    Action.ASK_NOW: may_see_to,
    Action.TRY_NOW: _needs("refunds.request_refund"),
    **dict.fromkeys([Action.APPROVE, Action.REJECT, Action.LET_GO], _may_decide),
    Action.CANCEL: _may_cancel,
    **dict.fromkeys(_PROPOSES.values(), rulings.may_propose),
    Action.CONFIRM_RULING: _needs("refunds.approve_refund"),
    Action.REJECT_RULING: _may_reject,
    Action.PROCESS_WEBHOOK: _needs("refunds.process_webhook"),
    Action.CHECK_ACCOUNT: _needs("gateways.change_processoraccount"),
    Action.COUNT_AS_OURS: _needs("refunds.approve_refund"),
    Action.ACCEPT: _may_accept,
    Action.TAKE: may_own,
    Action.HAND_OVER: _may_hand_over,
}


@contextmanager
def _held(case: Attention) -> Iterator[Attention]:
    """An open case as it is now, locked after its refund. Raises WrongStatus."""
    with database.atomic():
        refund = lock_refund(case.refund_id) if case.refund_id else None
        held = (
            Attention.objects.select_for_update(of=("self",))
            .select_related("account", "owner")
            .get(pk=case.pk)
        )
        held.refund = refund
        if held.closed_at:
            raise WrongStatus(_("This case is closed already: %s.") % held.outcome.rstrip("."))
        yield held


def _give(case: Attention, to: User | None, actor: User | None) -> bool:
    if to is None or case.owner_id == to.pk:
        return False
    before, case.owner = case.owner, to
    case.save(update_fields=["owner"])
    if case.refund:
        data = {
            "kind": case.kind,
            "from": before.get_username() if before else "",
            "to": to.get_username(),
            "why": case.reason,
        }
        record_event(case.refund, "case_given", actor=actor, data=data)
    return True
