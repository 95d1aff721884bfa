"""What a worker does for a campaign: look, ask, hold back, release, call off.

Killed at any moment it is followed by another one, which finds in the rows what is left to do: a
refund is asked for under a key that is its item's, so that asking twice makes one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import structlog
from django.contrib.auth.models import User
from django.db import connection
from django.db import transaction as database
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from audit.kinds import Kind
from refunds.models import Refund
from refunds.publishing import hand_out
from refunds.refusals import code_of, record_refusal
from refunds.services import (
    NotAllowed,
    RefundRefused,
    RequestConflict,
    WrongStatus,
    call_off,
    release,
    request_refund,
)
from refunds.states import CANCELABLE, HOLDABLE, Status

from .models import Campaign, CampaignItem, CampaignState, ItemState
from .preparing import prepare
from .services import APPROVE, REQUEST, TASK, each_batch, hold, reaches, refunds_of, tell

log = structlog.get_logger(__name__)

# One worker works on a campaign, and is taken for gone after this long without a sign of life.
_LEASE = timedelta(seconds=60)
# A turn is over before Celery ends it; another one follows.
_TURN_SECONDS = 25
_BATCH = 50
_FREE = Q(lease_until__isnull=True) | Q(lease_until__lt=Now())


def work(campaign_id: int) -> None:
    """Take a turn with a campaign that is not where people want it, if nobody else does."""
    campaign = _take(campaign_id)
    if campaign is None:
        return
    ends = time.monotonic() + _TURN_SECONDS

    def goes_on() -> bool:
        return time.monotonic() < ends and _is_wanted(campaign)

    try:
        _DOES[CampaignState(campaign.state)](campaign, goes_on)
    finally:
        Campaign.objects.filter(pk=campaign.pk).update(lease_until=None)
    is_over = time.monotonic() < ends  # else there is more to do
    if not is_over or not _is_same(campaign):
        hand_out(TASK, [campaign.pk])


def hand_out_open() -> int:
    """Have a worker take a turn with each campaign that is not where it should be; how many."""
    waiting = Campaign.objects.filter(_FREE, is_settled=False).order_by("pk")
    return len(hand_out(TASK, waiting.values_list("pk", flat=True)))


def _take(campaign_id: int) -> Campaign | None:
    taken = Campaign.objects.filter(_FREE, pk=campaign_id, is_settled=False)
    if not taken.update(lease_until=Now() + _LEASE):
        return None
    related = ("created_by", "started_by", "steered_by", "reason")
    return Campaign.objects.select_related(*related).get(pk=campaign_id)


def _is_wanted(campaign: Campaign) -> bool:
    """Whether people still want what this turn is about; a sign of life, too."""
    same = Campaign.objects.filter(pk=campaign.pk, state=campaign.state)
    return bool(same.update(lease_until=Now() + _LEASE))


def _is_same(campaign: Campaign) -> bool:
    """Whether it is where this turn left it: nobody wants something else meanwhile."""
    states = Campaign.objects.values_list("state", flat=True)
    return bool(states.get(pk=campaign.pk) == campaign.state)


def _run(campaign: Campaign, goes_on: Callable[[], bool]) -> None:
    """Release what a pause held back, and ask for the rest; it ends when all has left."""
    if why_not := _why_not_run(campaign):
        _pause(campaign, why_not)
        return
    each_batch(release, refunds_of(campaign).filter(is_held=True), goes_on)
    to_ask = campaign.items.filter(state=ItemState.INCLUDED).select_related("transaction__account")
    while goes_on():
        items = list(to_ask.order_by("pk")[:_BATCH])
        for item in items:
            if why_not := _ask(campaign, item):
                _pause(campaign, why_not)
                return
        if not items:
            _settle(campaign, CampaignState.FINISHED)
            return


def _why_not_run(campaign: Campaign) -> str:
    """The sentence why nothing may be asked for any more: both people still have to be allowed."""
    for person, right in ((campaign.created_by, REQUEST), (campaign.started_by, APPROVE)):
        if person is None or not reaches(campaign, person, right):
            return _("Paused: who made or started this campaign may no longer do so. Cancel it.")
    return ""


def _ask(campaign: Campaign, item: CampaignItem) -> str:
    """Ask for one refund, and note it with it; why the campaign may not go on, or ''.

    The campaign is locked meanwhile: who has paused or canceled it is not followed by one more.
    """
    payment = item.transaction
    assert payment is not None  # or there is nothing to ask for
    with database.atomic():
        if not _hold_to_ask(item):
            return ""
        try:
            refund, _created = request_refund(
                transaction=payment,
                amount=item.amount,
                reason=campaign.reason,
                note=campaign.note,
                words=campaign.words,
                requested_by=campaign.created_by,
                approved_by=campaign.started_by,
                idempotency_key=f"campaign item {item.pk}",
                expected_refundable=item.left,
                is_bulk=True,
            )
        except (NotAllowed, RefundRefused, RequestConflict) as refusal:
            return _refused(campaign, item, refusal)
        else:
            mine = CampaignItem.objects.filter(pk=item.pk)
            mine.update(state=ItemState.ASKED, refund=refund)
    return ""


def _refused(campaign: Campaign, item: CampaignItem, refusal: Exception) -> str:
    """Note it with the item, or give the sentence for which the whole campaign has to wait."""
    code, why = code_of(refusal), str(refusal)
    waits = code in {"not_allowed", "paused"}
    if not waits:
        CampaignItem.objects.filter(pk=item.pk).update(state=ItemState.REFUSED, why=why[:300])
    record_refusal(
        "refund",
        item.transaction,
        actor=campaign.created_by,
        code=code,
        why=why,
        amount=item.amount.major(),
        campaign=campaign.pk,
    )
    return why if waits else ""


def _hold_to_ask(item: CampaignItem) -> bool:
    """Lock an item that is still to be asked for, and its campaign; False when nobody wants it now.

    This commit is not waited for until it is on the disk: what a crash takes is asked for once
    more, and the commit that claims a refund for sending waits for itself and for all before it.
    In SQL, because a campaign does this ten thousand times.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SET LOCAL synchronous_commit = off; SELECT FROM campaigns_campaign AS campaign"
            " JOIN campaigns_campaignitem AS item ON item.campaign_id = campaign.id"
            " WHERE item.id = %s AND item.state = %s AND campaign.state = %s"
            " FOR UPDATE",
            [item.pk, ItemState.INCLUDED, CampaignState.RUNNING],
        )
        return cursor.fetchone() is not None


def _pause(campaign: Campaign, why: str) -> None:
    """Stop a campaign that may not go on, until a person has seen to it."""
    running = Campaign.objects.filter(pk=campaign.pk, state=CampaignState.RUNNING)
    with database.atomic():
        if running.update(state=CampaignState.PAUSED, problem=why[:300]):
            tell(Kind.CAMPAIGN_PAUSED, campaign, None, {"why": why})


def _hold(campaign: Campaign, goes_on: Callable[[], bool]) -> None:
    """Hold back what has not been sent, and what may come back from a worker."""
    hold(campaign, goes_on)
    free = refunds_of(campaign).filter(is_held=False, status__in=HOLDABLE)
    if goes_on() and not free.exists():
        _settle(campaign)


def _call_off(campaign: Campaign, goes_on: Callable[[], bool]) -> None:
    """Ask for nothing more, and cancel what has not been sent."""
    rest = campaign.items.filter(state__in=[ItemState.INCLUDED, ItemState.NAMED])
    rest.update(state=ItemState.SKIPPED)
    hold(campaign, goes_on)
    waiting = refunds_of(campaign).filter(status__in=CANCELABLE).order_by("pk")
    while goes_on() and (batch := list(waiting[:_BATCH])):
        for refund in batch:
            _cancel(refund, campaign.steered_by or campaign.created_by)
    _settle(campaign)


def _cancel(refund: Refund, actor: User) -> None:
    try:
        call_off(refund, actor=actor)
    except WrongStatus as refusal:  # it has just left
        log.info("not_canceled", refund=str(refund.pk), why=str(refusal))


def _settle(campaign: Campaign, state: CampaignState | None = None) -> None:
    """It is where people want it, unless something may still leave or come back."""
    is_end = state or campaign.state == CampaignState.CANCELED
    coming = {Status.SENDING, *CANCELABLE}
    if campaign.state == CampaignState.CANCELED:
        coming |= {Status.UNKNOWN}
    if is_end and refunds_of(campaign).filter(status__in=coming).exists():
        return
    ended: dict[str, Any] = {"ended_at": Now()} if is_end else {}
    ended |= {"state": state} if state else {}
    same = Campaign.objects.filter(pk=campaign.pk, state=campaign.state)
    if same.update(is_settled=True, **ended) and state:
        campaign.state = state


_DOES: dict[CampaignState, Callable[[Campaign, Callable[[], bool]], None]] = {
    CampaignState.PREPARING: prepare,
    CampaignState.RUNNING: _run,
    CampaignState.PAUSED: _hold,
    CampaignState.CANCELED: _call_off,
}
