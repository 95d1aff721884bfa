"""What people want of a campaign: make, start, pause, go on, cancel.

Each sets the state that is wanted and returns at once; a worker brings the refunds there. Refusals
are exceptions with a sentence; nothing was written then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import transaction as database
from django.db.models import Count, Exists, OuterRef, QuerySet, Sum
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from access.rights import accounts_where, may_somewhere
from audit.kinds import Kind
from audit.log import record
from gateways.models import ProcessorAccount
from gateways.money import Money, exponent_of
from refunds.models import Refund, RefundQuerySet
from refunds.people import are_one_person, of_person
from refunds.publishing import hand_out
from refunds.rules import Approver
from refunds.services import NotAllowed, WrongStatus, hold_back
from refunds.states import HOLDABLE
from transactions.saved_views import without_search

from .models import STARTED, Campaign, CampaignItem, CampaignState, ItemState

if TYPE_CHECKING:
    from django.contrib.auth.models import User

MAKE = "campaigns.add_campaign"
REQUEST, APPROVE = "refunds.request_refund", "refunds.approve_refund"
# Needed for the account of each payment that is put into a campaign.
RIGHTS_TO_MAKE = (MAKE, REQUEST)
TASK = "campaigns.tasks.work"
# So many refunds are locked at once.
_LOCKED_AT_ONCE = 200
# Several thousand rows are written at once, so that a file of that length is there in a moment.
_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Named:
    """A line of a file: which payment, and how much of it, as they were typed."""

    payment: str
    amount: str = ""


def make(campaign: Campaign, lines: Sequence[Named], *, actor: User) -> Campaign:
    """Begin the dry run of a campaign, of the file's ``lines`` or its query. Raises NotAllowed."""
    if not may_make(actor):
        raise NotAllowed(_("You may not make campaigns."))
    campaign.created_by = actor
    with database.atomic():
        campaign.save(force_insert=True)
        CampaignItem.objects.bulk_create(
            (
                CampaignItem(
                    campaign=campaign, named=line.payment, typed=line.amount, state=ItemState.NAMED
                )
                for line in lines
            ),
            batch_size=_ROWS,
        )
        _tell_worker(campaign)
        tell(Kind.CAMPAIGN_MADE, campaign, actor, _plan(campaign, len(lines)))
    return campaign


def start(campaign: Campaign, *, actor: User) -> Campaign:
    """Let a campaign go, as the second person. Raises NotAllowed or WrongStatus."""
    if not reaches(campaign, actor, APPROVE):
        raise NotAllowed(_("You may not approve refunds of all these accounts."))
    if are_one_person(campaign.created_by, actor):
        raise NotAllowed(_("Another person has to start a campaign that you made."))
    if sentence := why_not_started_by(campaign, actor):
        raise NotAllowed(sentence)
    with database.atomic():
        held = _lock(campaign, CampaignState.READY)
        if sentence := why_not_started(held):
            raise WrongStatus(sentence)
        held.started_by, held.started_at = actor, Now()
        _want(held, CampaignState.RUNNING, actor)
        told = {"refunds": [[number, str(money)] for number, money in totals(held)]}
        tell(Kind.CAMPAIGN_STARTED, held, actor, told)
        return held


def pause(campaign: Campaign, *, actor: User) -> Campaign:
    """Let nothing more leave until somebody goes on. Raises NotAllowed or WrongStatus."""
    _require_part(campaign, actor)
    with database.atomic():
        paused = _want(_lock(campaign, CampaignState.RUNNING), CampaignState.PAUSED, actor)
        tell(Kind.CAMPAIGN_PAUSED, paused, actor)
    hold(paused)  # before any worker hears of it
    return paused


def go_on(campaign: Campaign, *, actor: User) -> Campaign:
    """Go on after a pause. Raises NotAllowed or WrongStatus."""
    _require_part(campaign, actor)
    with database.atomic():
        held = _lock(campaign, CampaignState.PAUSED)
        held.problem = ""
        _want(held, CampaignState.RUNNING, actor)
        tell(Kind.CAMPAIGN_RESUMED, held, actor)
        return held


def cancel(campaign: Campaign, *, actor: User) -> Campaign:
    """Call off whatever has not been sent. Raises NotAllowed or WrongStatus."""
    _require_part(campaign, actor)
    with database.atomic():
        held = _lock(campaign, CampaignState.PREPARING, CampaignState.READY, *STARTED)
        canceled = _want(held, CampaignState.CANCELED, actor)
        tell(Kind.CAMPAIGN_CANCELED, canceled, actor)
    hold(canceled)
    return canceled


def tell(
    kind: Kind, campaign: Campaign, actor: User | None, data: Mapping[str, object] | None = None
) -> None:
    record(kind, actor=actor, about=campaign, data=data)


def _plan(campaign: Campaign, lines: int) -> dict[str, object]:
    """What was decided when it was made."""
    return {
        "lines" if lines else "query": lines or without_search(campaign.query),
        "percent": campaign.percent,
        "reason": campaign.reason.code,
        "most_refunds": campaign.most_refunds,
        "most_money_thousandths": campaign.most_money,
    }


def refunds_of(campaign: Campaign) -> RefundQuerySet:
    return Refund.objects.filter(campaign_item__campaign=campaign)


def each_batch(
    step: Callable[[RefundQuerySet], int],
    refunds: RefundQuerySet,
    goes_on: Callable[[], bool] = lambda: True,
) -> None:
    """Take a step that takes refunds out of the set, a few at a time, until it takes no more."""
    left = refunds.order_by("pk").values_list("pk", flat=True)
    while goes_on() and (keys := list(left[:_LOCKED_AT_ONCE])):
        if not step(Refund.objects.filter(pk__in=keys)):
            return


def hold(campaign: Campaign, goes_on: Callable[[], bool] = lambda: True) -> None:
    """Hold back what has not been sent, and what may come back from a worker."""
    each_batch(hold_back, refunds_of(campaign).filter(is_held=False, status__in=HOLDABLE), goes_on)


def may_make(user: User) -> bool:
    """Whether there is an account whose payments the person may put into a campaign."""
    return all(may_somewhere(user, right) for right in RIGHTS_TO_MAKE)


def within_reach(
    campaigns: QuerySet[Campaign],
    user: User,
    right: str,
    items: QuerySet[CampaignItem] | None = None,
) -> QuerySet[Campaign]:
    """Those whose payments, or ``items``, are all of accounts for which a person has the right."""
    accounts = accounts_where(user, right)
    if accounts is None:
        return campaigns
    if not accounts:
        return campaigns.none()
    rows = CampaignItem.objects.all() if items is None else items
    theirs = rows.filter(campaign=OuterRef("pk"), transaction__isnull=False)
    return campaigns.filter(~Exists(theirs.exclude(transaction__account__in=sorted(accounts))))


def reaches(campaign: Campaign, user: User, right: str) -> bool:
    """Whether the person has the right for the accounts of all payments that it refunds."""
    found = Campaign.objects.filter(pk=campaign.pk)
    return within_reach(found, user, right, _refunded()).exists()


def _refunded() -> QuerySet[CampaignItem]:
    return CampaignItem.objects.exclude(state=ItemState.EXCLUDED)


def may_steer(campaign: Campaign, user: User) -> bool:
    """Whether the person may pause it, go on and cancel it: who made it, or who may approve."""
    made = user.pk == campaign.created_by_id and reaches(campaign, user, REQUEST)
    return made or reaches(campaign, user, APPROVE)


def may_start(campaign: Campaign, user: User) -> bool:
    able = reaches(campaign, user, APPROVE)
    return able and not are_one_person(campaign.created_by, user)


def to_start(user: User) -> QuerySet[Campaign]:
    """The campaigns that wait for this person to look through and start them."""
    waiting = Campaign.objects.filter(state=CampaignState.READY, problem="")
    return within_reach(waiting, user, APPROVE, _refunded()).exclude(of_person(user, "created_by"))


def why_not_started_by(campaign: Campaign, actor: User) -> str:
    """The sentence why a person may not approve its refunds with one press, or ''."""
    paid_through = _refunded().filter(campaign=campaign).values("transaction__account")
    accounts = list(ProcessorAccount.objects.filter(pk__in=paid_through).order_by("pk"))
    approver = Approver(actor)
    sentences = (approver.why_not_all(accounts, money) for _number, money in totals(campaign))
    return next(filter(None, sentences), "")


def totals(campaign: Campaign) -> list[tuple[int, Money]]:
    """How many refunds there would be in each currency, or were asked for, and of how much."""
    to_go = campaign.items.filter(state__in=[ItemState.INCLUDED, ItemState.ASKED])
    sums = to_go.order_by("currency").values_list("currency")
    return [
        (number, Money(minor, code))
        for code, number, minor in sums.annotate(Count("pk"), Sum("amount_minor"))
    ]


def why_not_started(campaign: Campaign) -> str:
    """The sentence why a campaign that is ready goes no further, or ''."""
    if campaign.problem:
        return campaign.problem
    found = totals(campaign)
    number = sum(count for count, _sum in found)
    if not number:
        return _("There is nothing to refund: every payment was left out.")
    if number > campaign.most_refunds:
        return _(
            "These are %(number)s refunds, more than the %(most)s that the campaign may make. Make "
            "a smaller one, or one with a higher limit."
        ) % {"number": number, "most": campaign.most_refunds}
    for _count, money in found:
        if thousandths(money) > campaign.most_money:
            return _(
                "These are %(sum)s, more than the campaign may give back in one currency. Make a "
                "smaller one, or one with a higher limit."
            ) % {"sum": money}
    return ""


def thousandths(money: Money) -> int:
    """The amount in thousandths of its major unit, in which limits are compared."""
    return int(money.minor * 10 ** (3 - exponent_of(money.currency)))


def _require_part(campaign: Campaign, actor: User) -> None:
    if not may_steer(campaign, actor):
        raise NotAllowed(_("Only who made a campaign, or who may approve refunds, may do that."))


def _lock(campaign: Campaign, *states: CampaignState) -> Campaign:
    held = Campaign.objects.select_for_update(of=("self",)).get(pk=campaign.pk)
    if held.state not in states:
        raise WrongStatus(
            _("The campaign is “%s” by now. Look at it again.") % held.get_state_display()
        )
    return held


def _want(campaign: Campaign, state: CampaignState, actor: User) -> Campaign:
    campaign.state, campaign.is_settled, campaign.steered_by = state, False, actor
    campaign.save()
    campaign.refresh_from_db()
    _tell_worker(campaign)
    return campaign


def _tell_worker(campaign: Campaign) -> None:
    # A hint: the beat finds what no worker was told of.
    database.on_commit(lambda: hand_out(TASK, [campaign.pk]))
