"""How far a campaign is, in numbers per outcome."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from django.db.models import Count, TextChoices
from django.utils.translation import gettext_lazy as _

from refunds.states import MOVING, Status

from .models import Campaign, ItemState


class Outcome(TextChoices):
    """What became of a payment of a campaign, as a bar shows it."""

    MADE = "made", _("Made")
    MOVING = "moving", _("On their way")
    WAITING = "waiting", _("To be asked for")
    FAILED = "failed", _("Failed, refused or came back")
    CALLED_OFF = "called_off", _("Called off")
    LEFT_OUT = "left_out", _("Left out")


_OF_ITEM = {
    ItemState.NAMED: Outcome.WAITING,
    ItemState.INCLUDED: Outcome.WAITING,
    ItemState.EXCLUDED: Outcome.LEFT_OUT,
    ItemState.REFUSED: Outcome.FAILED,
    ItemState.SKIPPED: Outcome.CALLED_OFF,
}
_OF_REFUND = {
    Status.SUCCEEDED: Outcome.MADE,
    Status.CANCELED: Outcome.CALLED_OFF,
    **dict.fromkeys((Status.FAILED, Status.RETURNED), Outcome.FAILED),
    **dict.fromkeys((*MOVING, Status.AWAITING_APPROVAL), Outcome.MOVING),
}


@dataclass(frozen=True, slots=True)
class Part:
    """One outcome: how many, and its place in the bar, in percent of what is not left out."""

    outcome: Outcome
    number: int
    share: int
    offset: int


def progress_of(campaign: Campaign) -> list[Part]:
    """The outcomes of all payments, in the order of the bar."""
    counted: Counter[Outcome] = Counter()
    rows = campaign.items.order_by().values_list("state", "refund__status")
    for state, status, number in rows.annotate(Count("pk")):
        counted[_OF_REFUND[Status(status)] if status else _OF_ITEM[ItemState(state)]] += number
    whole = max(counted.total() - counted[Outcome.LEFT_OUT], 1)
    parts, before = [], 0
    for outcome in Outcome:
        number = counted[outcome]
        left_out = outcome == Outcome.LEFT_OUT
        share = 0 if left_out else 100 * (before + number) // whole - 100 * before // whole
        parts.append(Part(outcome, number, share, 100 * before // whole))
        before += 0 if left_out else number
    return parts
