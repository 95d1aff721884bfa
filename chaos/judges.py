"""People who look at what waits for them: approvals, and refunds of unknown outcome."""

from __future__ import annotations

from django.contrib.auth.models import User

from refunds import approvals, rulings
from refunds.models import Refund, Verdict
from refunds.rulings import InvalidRuling
from refunds.services import NotAllowed, WrongStatus
from refunds.states import Status

from .world import World, people

_EVIDENCE = "Looked at the processor's website, in the list of refunds of that day."


def decide(world: World) -> None:
    """Approve everything that awaits it; what is beyond everybody's limit is rejected."""
    for refund in Refund.objects.filter(status=Status.AWAITING_APPROVAL).order_by("created_at"):
        said = world.attempt(lambda: _somebody_decides(refund))  # noqa: B023 - now
        world.tell(f"{refund.pk} is looked at: {said}")


def rule(world: World, *, send_again: bool = False) -> int:
    """Rule truthfully about every refund that may be ruled about now; how many rulings counted."""
    made = {each.reference: each for each in world.processors.books(world.name).refunds}
    counted = 0
    for refund in Refund.objects.filter(status=Status.UNKNOWN).order_by("created_at"):
        found = [made.get(attempt.reference) for attempt in refund.attempts.all()]
        given = [each for each in found if each and each.status not in ("failed", "canceled")]
        if given:
            verdict, refund_id = Verdict.HAPPENED, given[0].id
        else:
            verdict = Verdict.SEND_AGAIN if send_again else Verdict.DID_NOT
            refund_id = ""
        said = world.attempt(lambda: _two_say(refund, verdict, refund_id))  # noqa: B023 - now
        world.tell(f"two people say that {refund.pk} {verdict}: {said}")
        counted += said == "counts"
    return counted


def _somebody_decides(refund: Refund) -> str:
    able = [User.objects.get(pk=person.pk) for person in people()[2:]]
    for decision in (approvals.approve_refund, approvals.reject_refund):
        for actor in able:
            try:
                decision(refund, actor=actor)
            except NotAllowed:
                continue
            except WrongStatus as refusal:
                return str(refusal)
            return f"{actor} {decision.__name__}"
    return "nobody may"


def _two_say(refund: Refund, verdict: Verdict, refund_id: str) -> str:
    first, second = (User.objects.get(pk=people()[number].pk) for number in (0, 3))
    try:
        ruling = rulings.propose(
            refund, verdict=verdict, evidence=_EVIDENCE, processor_refund_id=refund_id, actor=first
        )
        rulings.confirm(ruling, actor=second)
    except (InvalidRuling, NotAllowed, WrongStatus) as refusal:
        return str(refusal)
    return "counts"
