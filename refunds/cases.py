"""What people do with the cases that need them: take, hand over, accept; and what keeps them tidy.

Whatever touches a case about a refund holds the refund's lock first, because the refund repeats its
oldest open case.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING

from django.db import transaction as database
from django.db.models import Q
from django.utils.translation import gettext as _

from gateways.models import ProcessorAccount

from . import rulings
from .attention import choose_owner, close_cases
from .history import record_event
from .models import Attention, AttentionKind, Refund, Ruling, Verdict
from .services import NotAllowed, WrongStatus, may_see_to
from .states import Status
from .sweeps import one_pass
from .transitions import lock_refund

if TYPE_CHECKING:
    from django.contrib.auth.models import User

K = AttentionKind

# What a person says when they close a case.
NOTE_LENGTH = 300
# Only proof, or a ruling of two people, answers these.
ANSWERED_BY_PROOF = frozenset({K.UNKNOWN_OUTCOME, K.PENDING_LONG, K.STUCK})
# Whoever asked for the refund may take note of these.
_OWNER_MAY_ACCEPT = frozenset({K.RETURNED, K.NOT_SENT})


class Action(StrEnum):
    """What a person may do about a case."""

    ASK_NOW = "ask_now"  # services.check_refund
    TRY_NOW = "try_now"  # services.hurry_refund, for one that still waits
    CONFIRM_HAPPENED = "confirm_happened"  # rulings.propose, Verdict.HAPPENED
    CONFIRM_DID_NOT = "confirm_did_not"
    SEND_AGAIN = "send_again"
    CONFIRM_RULING = "confirm_ruling"  # the open one, as the second person
    REJECT_RULING = "reject_ruling"
    PROCESS_WEBHOOK = "process_webhook"
    CHECK_ACCOUNT = "check_account"
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
    if not may_own(actor):
        raise NotAllowed(_("Only who may request or approve refunds can own a case."))
    with _held(case) as held:
        _give(held, actor, actor)
    return held


def hand_over(case: Attention, to: User, actor: User) -> Attention:
    """Give the case to somebody else, by its owner or who may approve refunds.

    Raises NotAllowed, or WrongStatus for a closed case or a person who cannot own it.
    """
    with _held(case) as held:
        if not _may_hand_over(held, actor):
            raise NotAllowed(_("Only its owner, or who may approve refunds, may hand it over."))
        if not may_own(to):
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
        if not _may_accept(held, actor):
            raise NotAllowed(_("You may not accept this. Hand it to who may approve refunds."))
        outcome = note.strip()[:NOTE_LENGTH] or _("Accepted")
        if held.refund:
            close_cases(held.refund, {K(held.kind)}, outcome, by=actor)
        else:
            Attention.objects.filter(pk=held.pk).close(outcome, actor)
    held.refresh_from_db()
    return held


def why_not_accepted(case: Attention) -> str:
    """The sentence why nobody can close the case, and what does; '' when people can."""
    if case.kind == K.STUCK and case.refund and case.refund.status == Status.QUEUED:
        return _("This closes by itself when the refund is made or canceled. Have it tried now.")
    if case.kind in ANSWERED_BY_PROOF:
        return _(
            "This closes by itself when it is proven what became of the refund. Ask the processor "
            "now, or have two people rule what happened."
        )
    if case.kind == K.ACCOUNT_PAUSED and case.account.stopped_reason:
        return _("This closes by itself when account %(account)s works again. Now: %(why)s") % {
            "account": case.account,
            "why": case.account.stopped_reason,
        }
    return ""


def actions(case: Attention, user: User) -> list[Action]:
    """What the person may do about the case now, the best first."""
    if case.closed_at or not user.is_active:
        return [Action.OPEN]
    offered = _about_refund(case.refund, user) if case.refund else []
    if case.webhook_id and user.has_perm("refunds.process_webhook"):
        offered.append(Action.PROCESS_WEBHOOK)
    if case.kind == K.ACCOUNT_PAUSED and user.has_perm("gateways.change_processoraccount"):
        offered.append(Action.CHECK_ACCOUNT)
    if not why_not_accepted(case) and _may_accept(case, user):
        offered.append(Action.ACCEPT)
    if may_own(user) and case.owner_id != user.pk:
        offered.append(Action.TAKE)
    if _may_hand_over(case, user):
        offered.append(Action.HAND_OVER)
    return [*offered, Action.OPEN]


def may_own(user: User) -> bool:
    """Whether cases can be this person's: who may rule may own."""
    return rulings.may_propose(user)


def reassign_orphans() -> int:
    """Give open cases whose owner is gone or switched off to somebody active; how many."""
    orphans = Attention.objects.open().filter(Q(owner__isnull=True) | Q(owner__is_active=False))
    if choose_owner() is None:
        return 0
    given = 0
    for case in one_pass(orphans.order_by("raised_at", "pk")):
        try:
            with _held(case) as held:
                if held.owner is None or not held.owner.is_active:
                    given += _give(held, choose_owner(held.refund), None)
        except WrongStatus:  # closed meanwhile
            continue
    return given


def close_resumed_accounts() -> int:
    """Close the cases of accounts whose credentials work again; how many."""
    resumed = Attention.objects.open().filter(
        kind=K.ACCOUNT_PAUSED, subject__startswith="account:", account__paused_reason=""
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
    offered = []
    unproven = refund.status in {Status.UNKNOWN, Status.PENDING}
    if unproven and may_see_to(user):
        offered.append(Action.ASK_NOW)
    if refund.status == Status.QUEUED and user.has_perm("refunds.request_refund"):
        offered.append(Action.TRY_NOW)
    ruling = Ruling.objects.filter(refund=refund, decided_at__isnull=True).first()
    if ruling:
        if rulings.may_confirm(ruling, user):
            offered.append(Action.CONFIRM_RULING)
        if rulings.may_reject(ruling, user):
            offered.append(Action.REJECT_RULING)
    elif refund.status in _RULED_ABOUT and rulings.may_propose(user):
        missing = rulings.allowed(refund)
        offered += [action for verdict, action in _PROPOSES.items() if not missing[verdict]]
    return offered


def _may_accept(case: Attention, user: User) -> bool:
    if not user.is_active:
        return False
    owns = case.owner_id == user.pk and case.kind in _OWNER_MAY_ACCEPT
    return user.has_perm("refunds.approve_refund") or (
        owns and user.has_perm("refunds.request_refund")
    )


def _may_hand_over(case: Attention, user: User) -> bool:
    return user.is_active and (
        (case.owner_id == user.pk and may_own(user)) or user.has_perm("refunds.approve_refund")
    )


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
            raise WrongStatus(_("This case is closed already: %s.") % held.outcome)
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
