"""What a person may do about a case: the words, the form, and the service behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from gateways.accounts import check_account

from . import approvals, cases, rulings, services, webhooks
from .cases import Action
from .forms import (
    AcceptForm,
    ApproveForm,
    CaseForm,
    EvidenceForm,
    HandOverForm,
    MadeForm,
    RejectForm,
    RulingForm,
)
from .models import Attention, Refund, Ruling, Verdict
from .people import are_one_person
from .services import NotAllowed, WrongStatus
from .states import Status

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do. ``take`` does it and says what happened; it raises what its service raises.

    Without a ``form`` one press is enough. ``stays`` leads back to the case, not to the inbox.
    A ``proven`` one is for who has proven lately who they are.
    """

    name: Action
    label: str | Promise
    explains: str | Promise
    take: Callable[[Attention, User, Values], str]
    form: type[CaseForm] | None = None
    verdict: Verdict | None = None
    stays: bool = False
    proven: bool = False

    def needs_proof(self, case: Attention) -> bool:
        """Whether it asks for a proof about this case: accepting may let a refund go."""
        return self.proven or (self.name == Action.ACCEPT and cases.may_let_go(case))

    @property
    def asks(self) -> bool:
        """Whether there is something to read or to fill in first."""
        return self.form is not None


def open_ruling(case: Attention) -> Ruling | None:
    """What somebody has proposed about the refund of a case, while it waits for a second person."""
    return (
        Ruling.objects.select_related("proposed_by", "attempt")
        .open()
        .filter(refund=case.refund_id)
        .first()
        if case.refund_id
        else None
    )


def effect_of(ruling: Ruling) -> str:
    """What confirming the ruling does, in a sentence."""
    amount = ruling.refund.amount
    if ruling.verdict == Verdict.HAPPENED:
        sentence = _(
            "The %(amount)s will count as refunded, under the processor's id %(id)s. "
            "Nothing is sent."
        )
        return sentence % {"amount": amount, "id": ruling.processor_refund_id}
    if ruling.verdict == Verdict.DID_NOT:
        return (
            _("The refund will count as failed, and its %s can be refunded again. Nothing is sent.")
            % amount
        )
    return _("The %s will be sent again under a new reference.") % amount


def _refund_of(case: Attention) -> Refund:
    if case.refund is None:
        raise WrongStatus(_("This case is not about a refund."))
    return case.refund


def _ask(case: Attention, actor: User, _values: Values) -> str:
    services.check_refund(_refund_of(case), actor=actor)
    return _("The processor is being asked. This page shows what comes of it.")


def _try_now(case: Attention, actor: User, _values: Values) -> str:
    services.hurry_refund(_refund_of(case), actor=actor)
    return _("The refund goes out as soon as a worker is free. This page shows what comes of it.")


def _approve(case: Attention, actor: User, values: Values) -> str:
    refund = _refund_of(case)
    try:
        approvals.approve_refund(refund, actor=actor, **values)
    except WrongStatus:  # the second press of a double click, as below
        refund.refresh_from_db(fields=["approved_by"])
        if refund.approved_by_id != actor.pk:
            raise
    return _("It is approved.")


def _reject_refund(case: Attention, actor: User, values: Values) -> str:
    refund = _refund_of(case)
    try:
        approvals.reject_refund(refund, actor=actor, **values)
    except WrongStatus:
        if not refund.events.filter(kind="rejected", actor=actor).exists():
            raise
    return _("Rejected; nothing was refunded.")


def _cancel(case: Attention, actor: User, _values: Values) -> str:
    refund = _refund_of(case)
    try:
        services.cancel_refund(refund, actor=actor)
    except WrongStatus:
        if not refund.events.filter(kind="canceled", actor=actor).exists():
            raise
    return _("Canceled; nothing was refunded.")


def _let_go(case: Attention, actor: User, _values: Values) -> str:
    try:
        cases.let_go(case, actor)
    except WrongStatus:
        let_go = _refund_of(case).events.filter(kind="let_go", actor=actor)
        case.refresh_from_db()
        if case.closed_by_id != actor.pk or not let_go.exists():
            raise
    goes_out = _("It goes out as soon as a worker is free. This page shows what comes of it.")
    return services.waits_for(case.account) or goes_out


def _propose(verdict: Verdict) -> Callable[[Attention, User, Values], str]:
    def propose(case: Attention, actor: User, values: Values) -> str:
        try:
            rulings.propose(_refund_of(case), verdict=verdict, actor=actor, **values)
        except WrongStatus:
            # The second press of a double click finds what the first one did; so do those below.
            ruling = open_ruling(case)
            if ruling is None or (ruling.proposed_by_id, ruling.verdict) != (actor.pk, verdict):
                raise
        return _("“%s” is proposed. Nothing happens before a second person confirms it.") % (
            verdict.label
        )

    return propose


def _confirm(_case: Attention, actor: User, values: Values) -> str:
    ruling: Ruling = values["ruling"]
    try:
        rulings.confirm(ruling, actor=actor)
    except WrongStatus:
        ruling.refresh_from_db()
        if not ruling.confirmed or ruling.decided_by_id != actor.pk:
            raise
    sentences = {
        Verdict.HAPPENED: _("Confirmed: %s count as refunded."),
        Verdict.DID_NOT: _("Confirmed: the refund of %s counts as not made; its money is free."),
        Verdict.SEND_AGAIN: _("Confirmed: %s are sent again, under a new reference."),
    }
    return sentences[Verdict(ruling.verdict)] % ruling.refund.amount


def _reject(_case: Attention, actor: User, values: Values) -> str:
    ruling: Ruling = values["ruling"]
    try:
        rulings.reject(ruling, actor=actor)
    except WrongStatus:
        ruling.refresh_from_db()
        if ruling.confirmed or ruling.decided_by_id != actor.pk:
            raise
    if ruling.proposed_by_id == actor.pk:
        sentence = _("“%s” is withdrawn. Nothing changed, and the case stays open.")
    else:
        sentence = _("“%s” is rejected. Nothing changed, and the case stays open.")
    return sentence % ruling.get_verdict_display()


def _accept(case: Attention, actor: User, values: Values) -> str:
    try:
        cases.accept(case, actor, **values)
    except WrongStatus:
        case.refresh_from_db()
        # Another step may have closed it: then the note would be lost without a word.
        if (case.closed_by_id, case.outcome) != (actor.pk, cases.outcome_of(values["note"])):
            raise
    return _("Settled: %s") % case


def _count_as_ours(case: Attention, actor: User, values: Values) -> str:
    try:
        case = cases.count_as_ours(case, actor, **values)
    except WrongStatus:
        case.refresh_from_db()
        if case.closed_by_id != actor.pk or not cases.is_ours(case):
            raise
    return _("Settled: %s Nothing more goes out for it.") % case.outcome


def _take(case: Attention, actor: User, _values: Values) -> str:
    cases.take(case, actor)
    return _("The case is yours now.")


def _hand_over(case: Attention, actor: User, values: Values) -> str:
    to: User = values["to"]
    try:
        cases.hand_over(case, to, actor)
    except NotAllowed:
        case.refresh_from_db()
        if case.owner_id != to.pk:
            raise
    return _("The case belongs to %s now.") % (to.get_full_name() or to.get_username())


def _process_webhook(case: Attention, actor: User, _values: Values) -> str:
    if not cases.may(Action.PROCESS_WEBHOOK, case, actor):
        raise NotAllowed(_("You may not have webhooks processed again."))
    if case.webhook is None:
        raise WrongStatus(_("This case is not about a webhook."))
    webhooks.process_again(case.webhook, actor=actor)
    return _("The webhook is processed again. The case closes when that works.")


def _check_account(case: Attention, actor: User, _values: Values) -> str:
    if not cases.may(Action.CHECK_ACCOUNT, case, actor):
        raise NotAllowed(_("You may not check the credentials of accounts."))
    said = check_account(case.account, actor=actor)
    # At once, so that the page does not still ask for what has just been done.
    cases.close_resumed_accounts()
    return _("%s What waits for it goes out by itself.") % said


_L = gettext_lazy
STEPS = {
    step.name: step
    for step in (
        Step(
            Action.ASK_NOW,
            _L("Ask the processor now"),
            _L("A worker looks the refund up at once, instead of at the next planned time."),
            _ask,
            stays=True,
        ),
        Step(
            Action.TRY_NOW,
            _L("Try now"),
            _L("It still waits to be sent. A worker takes it up at once, and may send it."),
            _try_now,
            stays=True,
        ),
        Step(
            Action.APPROVE,
            _L("Approve"),
            _L("It is owed, and goes out."),
            _approve,
            ApproveForm,
            proven=True,
        ),
        Step(
            Action.REJECT,
            _L("Reject"),
            _L("It is not owed. Nothing is sent; its money becomes free."),
            _reject_refund,
            RejectForm,
        ),
        Step(
            Action.CONFIRM_HAPPENED,
            _L("It was made"),
            _L("You have found the refund at the processor and can name its id."),
            _propose(Verdict.HAPPENED),
            MadeForm,
            Verdict.HAPPENED,
            proven=True,
        ),
        Step(
            Action.CONFIRM_DID_NOT,
            _L("It was not made"),
            _L("You have looked wherever it could stand. Its money becomes free; nothing is sent."),
            _propose(Verdict.DID_NOT),
            EvidenceForm,
            Verdict.DID_NOT,
            proven=True,
        ),
        Step(
            Action.SEND_AGAIN,
            _L("Send it again"),
            _L("It was not made, and the customer is still owed the money."),
            _propose(Verdict.SEND_AGAIN),
            EvidenceForm,
            Verdict.SEND_AGAIN,
            proven=True,
        ),
        Step(
            Action.CONFIRM_RULING,
            _L("Confirm"),
            _L("You are the second person: look at the evidence yourself first."),
            _confirm,
            RulingForm,
            proven=True,
        ),
        Step(
            Action.REJECT_RULING,
            _L("Reject"),
            _L("Nothing changes, and the case stays open."),
            _reject,
            RulingForm,
        ),
        Step(
            Action.PROCESS_WEBHOOK,
            _L("Process the webhook again"),
            _L("The processor is asked again about what the webhook named."),
            _process_webhook,
        ),
        Step(
            Action.CHECK_ACCOUNT,
            _L("Check the credentials"),
            _L("One harmless call asks the processor whether it accepts them."),
            _check_account,
            stays=True,
        ),
        Step(
            Action.LET_GO,
            _L("Let it go"),
            _L("You have looked: what the processor lists is another refund. This one is sent."),
            _let_go,
            CaseForm,
            stays=True,
            proven=True,
        ),
        Step(
            Action.CANCEL,
            _L("Cancel refund"),
            _L("It is not owed, or was paid otherwise. Nothing is sent; its money becomes free."),
            _cancel,
            CaseForm,
        ),
        Step(
            Action.COUNT_AS_OURS,
            _L("It is ours"),
            _L("It is that refund: what waits to be sent in its stead is called off."),
            _count_as_ours,
            AcceptForm,
            proven=True,
        ),
        Step(
            Action.ACCEPT,
            _L("Accept"),
            _L("You have looked at it, and the facts stand as they are. This closes the case."),
            _accept,
            AcceptForm,
        ),
        Step(
            Action.TAKE,
            _L("Take it"),
            _L("You become the owner."),
            _take,
            stays=True,
        ),
        Step(
            Action.HAND_OVER,
            _L("Hand it over"),
            _L("Somebody else becomes the owner."),
            _hand_over,
            HandOverForm,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Offer:
    """A step as the page of a case shows it; ``why_not`` says what stands against it for now."""

    step: Step
    url: str
    label: str | Promise
    why_not: str = ""


def offers(case: Attention, user: User) -> list[Offer]:
    """What the person may do about the case, and the rulings that are not possible now."""
    names = cases.actions(case, user)
    refusals = _refusals(case, user)
    ruling = case.refund.waiting_ruling if case.refund else None
    found = []
    for step in STEPS.values():
        why_not = refusals.get(step.verdict, "") if step.verdict else ""
        if step.name in names or why_not:
            address = reverse(f"admin:refunds_attention_{step.name}", args=[case.pk])
            found.append(Offer(step, address, label_of(step, ruling, user), why_not))
    return found


def label_of(step: Step, ruling: Ruling | None, user: User) -> str | Promise:
    """What a button says: one's own proposal is withdrawn."""
    own = ruling is not None and ruling.proposed_by_id == user.pk
    return _("Withdraw") if own and step.name == Action.REJECT_RULING else step.label


def _refusals(case: Attention, user: User) -> dict[Verdict, str]:
    refund = case.refund
    if case.closed_at or refund is None or refund.status != Status.UNKNOWN:
        return {}
    if refund.waiting_ruling or not rulings.may_propose(refund, user):
        return {}
    return rulings.allowed(refund)


def why_gone(case: Attention, step: Step, user: User) -> str:
    """The sentence why a step is not among the :func:`offers` of a case for the person."""
    if case.closed_at:
        return _("This case is settled: %s") % case.outcome
    sentence = ""
    if step.name == Action.ACCEPT:
        sentence = cases.why_not_accepted(case)
    elif step.verdict and case.refund:
        sentence = rulings.allowed(case.refund)[step.verdict]
    elif step.name == Action.CONFIRM_RULING and case.refund:
        ruling = case.refund.waiting_ruling
        if ruling and are_one_person(ruling.proposed_by, user):
            sentence = _("You proposed it, so somebody else has to confirm it.")
    return sentence or _("This can no longer be done. Look at the case again.")
