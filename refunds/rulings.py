"""What two people rule about a refund whose outcome is not proven.

One person says what became of the attempt, with evidence. Only when another one confirms it does
it change anything, and the conditions are checked both times: evidence may come in between. Proof
always comes first: it closes an open ruling (``attention.settle_by_status``).
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError
from django.db import transaction as database
from django.utils.translation import gettext as _

from gateways.base import FailureCode

from .attention import flag
from .clock import database_now
from .doubts import raise_doubts, reopen_all
from .found import keeps_references
from .history import record_event
from .models import AttentionKind, Refund, RefundAttempt, Ruling, RulingState, Verdict
from .people import are_one_person
from .publishing import publish
from .recording import end_attempt, live_attempt
from .services import NotAllowed, WrongStatus, may_see_to
from .states import AttemptState, Origin, Status
from .transitions import lock_refund, move
from .verdicts import ask_about, why_not

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.db.models import Model

# Evidence that it did not happen says at least what was looked at, and where.
EVIDENCE_LENGTH = 20
_PROCESSOR_ID = re.compile(r"[!-~]{1,100}")


class InvalidRuling(Exception):
    """What was said is not enough; ``field`` is the argument of :func:`propose` to mend."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field


def allowed(refund: Refund) -> dict[Verdict, str]:
    """For each verdict '' when it may be proposed now, else the sentence why not, and when."""
    if Ruling.objects.open().filter(refund=refund).exists():
        return dict.fromkeys(Verdict, _already_open())
    attempt = live_attempt(refund)
    return {verdict: why_not(refund, attempt, verdict) for verdict in Verdict}


def may_propose(about: Model, user: User) -> bool:
    """Whether the person may be the first one, for what belongs to an account."""
    return may_see_to(about, user)


def may_confirm(ruling: Ruling, user: User) -> bool:
    """Whether the person may be the second one."""
    able = user.is_active and user.has_perm("refunds.approve_refund", ruling.refund)
    return able and not are_one_person(ruling.proposed_by, user)


def may_reject(ruling: Ruling, user: User) -> bool:
    """Whoever may approve, and who proposed it: they withdraw it."""
    proposed = user.pk == ruling.proposed_by_id
    may_approve = user.has_perm("refunds.approve_refund", ruling.refund)
    return user.is_active and (proposed or may_approve)


def propose(
    refund: Refund, *, verdict: Verdict, evidence: str, processor_refund_id: str = "", actor: User
) -> Ruling:
    """Say what became of a refund; nothing changes before :func:`confirm`.

    Raises:
        NotAllowed: without the right to request or approve refunds.
        WrongStatus: it cannot be said, or not yet, or somebody has said something already.
        InvalidRuling: the evidence or the processor's id is missing or not good enough, or the
            processor says that the id is no refund, or another one.
    """
    if not may_propose(refund, actor):
        raise NotAllowed(_("You may not rule about refunds."))
    if verdict != Verdict.HAPPENED:
        processor_refund_id = ""
    ruling = Ruling(
        verdict=verdict,
        evidence=evidence.strip(),
        processor_refund_id=processor_refund_id.strip(),
        proposed_by=actor,
    )
    _check_words(ruling)
    note = _check_id(refund, ruling)
    ruling.evidence = "\n".join(filter(None, [ruling.evidence, note]))
    with database.atomic():
        ruling.refund = lock_refund(refund.pk)
        if Ruling.objects.open().filter(refund=refund).exists():
            raise WrongStatus(_already_open())
        ruling.attempt = _require_condition(ruling)
        ruling.save()
        if ruling.refund.status == Status.UNKNOWN:
            # The second person finds it where everything is that waits for people. The case
            # outlives a proposal that is rejected, and so it says nothing of one.
            sentence = _("It is not known whether the processor made this refund.")
            flag(ruling.refund, AttentionKind.UNKNOWN_OUTCOME, sentence)
        asked = {"note": note[:300]} if note else {}
        _record(ruling, "ruling_proposed", actor, **asked)
    return ruling


def confirm(ruling: Ruling, *, actor: User) -> Refund:
    """As the second person, let an open ruling count. The refund as it is then.

    Raises:
        NotAllowed: without the right to approve refunds, and for who proposed it.
        WrongStatus: it is decided already, its condition does not hold any more, or the processor
            says meanwhile that the id is no refund, or another one.
    """
    if not actor.is_active or not actor.has_perm("refunds.approve_refund", ruling.refund):
        raise NotAllowed(_("You may not confirm rulings about refunds."))
    note = _ask_once_more(ruling, actor)
    try:
        with database.atomic():
            held = _lock(ruling)
            if not may_confirm(held, actor):
                raise NotAllowed(_("Another person has to confirm what you proposed."))
            if not may_propose(held.refund, held.proposed_by):
                raise WrongStatus(
                    _("Who proposed this no longer may. Reject it, and propose it yourself.")
                )
            held.attempt = _require_condition(held)
            _decide(held, actor, confirmed=True)
            _EFFECTS[Verdict(held.verdict)](held, actor)
            if note:
                _record(held, "ruling_unchecked", actor, why=note[:300])
    except IntegrityError:
        # A sync may have recorded that id for another payment at this very moment.
        if sentence := _taken(ruling):
            raise WrongStatus(sentence) from None
        raise
    return held.refund


def reject(ruling: Ruling, *, actor: User) -> Refund:
    """Close an open ruling without effect; who proposed it withdraws it so.

    Raises NotAllowed or WrongStatus.
    """
    with database.atomic():
        held = _lock(ruling)
        if not may_reject(held, actor):
            raise NotAllowed(_("Only who proposed it, or who may approve refunds, may reject it."))
        _decide(held, actor, confirmed=False)
        own = actor.pk == held.proposed_by_id
        _record(held, "ruling_withdrawn" if own else "ruling_rejected", actor)
    return held.refund


def _check_words(ruling: Ruling) -> None:
    if ruling.verdict == Verdict.HAPPENED:
        if not _PROCESSOR_ID.fullmatch(ruling.processor_refund_id):
            raise InvalidRuling(
                "processor_refund_id",
                _("Enter the id that the processor gave this refund, as its website shows it."),
            )
    elif ruling.verdict == Verdict.DID_NOT and _visible(ruling.evidence) < EVIDENCE_LENGTH:
        raise InvalidRuling(
            "evidence",
            _("Say in at least %s characters what you looked at, and what it showed.")
            % EVIDENCE_LENGTH,
        )


def _check_id(refund: Refund, ruling: Ruling) -> str:
    """Have the processor say what the named id is; what it left open, which is evidence, too.

    It is asked before any lock is held. Raises InvalidRuling, or WrongStatus before it is asked.
    """
    if ruling.verdict != Verdict.HAPPENED:
        return ""
    current = Refund.objects.select_related("account", "transaction").get(pk=refund.pk)
    ruling.refund = current
    if sentence := allowed(current)[Verdict.HAPPENED] or _taken(ruling):
        raise WrongStatus(sentence)
    attempt = live_attempt(current)
    assert attempt is not None  # or it could not be ruled about
    answer = ask_about(current, attempt, ruling.processor_refund_id)
    if answer.against:
        raise InvalidRuling("processor_refund_id", answer.against)
    return answer.note


def _ask_once_more(ruling: Ruling, actor: User) -> str:
    """What the processor leaves open about the named id by now: it may have been silent before.

    Like :func:`_check_id`. Whatever else stands against the ruling is said under the lock.
    """
    held = Ruling.objects.select_related("refund__account", "refund__transaction").get(pk=ruling.pk)
    attempt = live_attempt(held.refund)
    is_open = held.state == RulingState.OPEN and may_confirm(held, actor)
    if held.verdict != Verdict.HAPPENED or not is_open or attempt is None:
        return ""
    answer = ask_about(held.refund, attempt, held.processor_refund_id)
    if answer.against:
        raise WrongStatus(_("%s Reject what was proposed.") % answer.against)
    return answer.note


def _visible(text: str) -> int:
    """How many characters of a text can be seen: no blanks, controls or formats."""
    return sum(unicodedata.category(each)[0] not in "ZC" for each in text)


def _require_condition(ruling: Ruling) -> RefundAttempt:
    """The attempt of the locked refund that is ruled about, locked. Raises WrongStatus."""
    attempt = live_attempt(ruling.refund)
    sentence = why_not(ruling.refund, attempt, Verdict(ruling.verdict)) or _taken(ruling)
    if attempt is None or sentence:
        raise WrongStatus(sentence)
    return RefundAttempt.objects.select_for_update().get(pk=attempt.pk)


def _lock(ruling: Ruling) -> Ruling:
    """An open ruling as it is now, locked after its refund. Raises WrongStatus."""
    refund = lock_refund(ruling.refund_id)
    held = Ruling.objects.select_for_update(of=("self",)).get(pk=ruling.pk)
    held.refund = refund
    if held.state == RulingState.SUPERSEDED:
        raise WrongStatus(
            _("The outcome was proven meanwhile (“%s”), so nothing is left to decide.")
            % refund.get_status_display()
        )
    if held.state != RulingState.OPEN:
        raise WrongStatus(
            _("%(person)s has decided this already: %(state)s.")
            % {"person": _name(held.decided_by), "state": held.state.label}
        )
    return held


def _decide(ruling: Ruling, actor: User, *, confirmed: bool) -> None:
    ruling.decided_by, ruling.decided_at, ruling.confirmed = actor, database_now(), confirmed
    ruling.save(update_fields=["decided_by", "decided_at", "confirmed"])


def _record(ruling: Ruling, kind: str, actor: User, **more: Any) -> None:
    record_event(ruling.refund, kind, actor=actor, data=_facts(ruling) | more)


def _facts(ruling: Ruling) -> dict[str, Any]:
    facts = {"ruling": ruling.pk, "verdict": ruling.verdict, "attempt": ruling.attempt.number}
    if ruling.processor_refund_id:
        facts["refund"] = ruling.processor_refund_id
    return facts


def _already_open() -> str:
    return _("Somebody has proposed an outcome already. It waits for a second person.")


def _taken(ruling: Ruling) -> str:
    """Why the refund that a ruling names is not the ruled one, or ''."""
    if not ruling.processor_refund_id:
        return ""
    refund = ruling.refund
    known = {"account": refund.account_id, "mode": refund.mode}
    other = Refund.objects.filter(
        **known, processor_refund_id=ruling.processor_refund_id
    ).exclude(pk=refund.pk).first()  # fmt: skip
    if other is None:
        return ""
    if other.origin == Origin.EXTERNAL:
        return (
            _(
                "%s is recorded already, as a refund that was made outside Refund Desk, and it "
                "counts. If it is this one, rule that this one was not made: then it counts once."
            )
            % ruling.processor_refund_id
        )
    return _("%(id)s is another refund of ours, of %(amount)s. Look up the id of this one.") % {
        "id": ruling.processor_refund_id,
        "amount": other.amount,
    }


# Effects: each moves the locked refund of a confirmed ruling.


def _count_as_made(ruling: Ruling, actor: User) -> None:
    changes = {"processor_refund_id": ruling.processor_refund_id}
    _end(ruling, AttemptState.ACCEPTED, Status.SUCCEEDED, actor, changes)


def _count_as_not_made(ruling: Ruling, actor: User) -> None:
    """Give the money back to the balance; what had counted as made gives the id free, too."""
    reopen_all(ruling.refund)
    why = {"failure_code": FailureCode.NOT_MADE, "failure_message": _who_said(ruling)[:1000]}
    if ruling.refund.status == Status.UNKNOWN:
        _end(ruling, AttemptState.RULED_OUT, Status.FAILED, actor, why)
        return
    freed = ruling.refund.processor_refund_id
    if freed and ruling.refund.confirmed_at and not keeps_references(ruling.refund.account):
        raise_doubts(ruling.refund, [freed])  # a list has shown it
    changes = why | {"processor_refund_id": None}
    _end(ruling, AttemptState.ACCEPTED, Status.RETURNED, actor, changes, freed=freed)


def _let_out_again(ruling: Ruling, actor: User) -> None:
    """Queue it for its next identity. Before that leaves, the worker looks the earlier ones up."""
    reopen_all(ruling.refund)
    anew = {"next_action_at": database_now(), "unknown_since": None, "lookups": 0}
    _end(ruling, AttemptState.RULED_OUT, Status.QUEUED, actor, anew)
    refund_id = ruling.refund_id
    database.on_commit(lambda: publish([refund_id]))


_EFFECTS = {
    Verdict.HAPPENED: _count_as_made,
    Verdict.DID_NOT: _count_as_not_made,
    Verdict.SEND_AGAIN: _let_out_again,
}


def _end(
    ruling: Ruling,
    state: AttemptState,
    to: Status,
    actor: User,
    changes: dict[str, Any],
    **more: Any,
) -> None:
    end_attempt(ruling.attempt, state)
    why = _who_said(ruling)
    ruling.attempt.processor_code, ruling.attempt.processor_message = "", why[:1000]
    ruling.attempt.save()
    data = _facts(ruling) | {"why": why} | more
    move(ruling.refund, to, f"ruled_{ruling.verdict}", actor=actor, data=data, changes=changes)


def _who_said(ruling: Ruling) -> str:
    """Who found what, for the history and for people who read it later."""
    people = {
        "first": _name(ruling.proposed_by),
        "second": _name(ruling.decided_by),
        "verdict": ruling.get_verdict_display(),
    }
    return _("%(verdict)s, %(first)s found, and %(second)s confirmed it.") % people


def _name(person: User | None) -> str:
    return person.get_full_name() or person.get_username() if person else ""
