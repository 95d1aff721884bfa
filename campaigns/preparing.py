"""The dry run: which payments are refunded, how much of each, and why others are left out.

Page by page, each with the place in the same commit, so that a worker that is killed is followed by
one that goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from django.contrib import admin
from django.contrib.auth.models import User
from django.db import transaction as database
from django.test.client import RequestFactory
from django.utils import timezone
from django.utils.translation import gettext as _

from access.models import Profile
from access.rights import within
from gateways.models import ProcessorAccount
from gateways.money import InvalidAmount, Money, parse_amount
from gateways.registry import gateway_class
from refunds import decision, services
from transactions.amounts import explain
from transactions.changelist import Cursor
from transactions.models import Transaction
from transactions.table import Narrowed, TransactionTable

from .models import Campaign, CampaignItem, CampaignState, ItemState
from .services import RIGHTS_TO_MAKE

_PAGE = 500
# More payments than this are no campaign any more.
MOST_ITEMS = 50_000


def prepare(campaign: Campaign, goes_on: Callable[[], bool]) -> None:
    """Look at payments until all are looked at, or ``goes_on`` says no."""
    step = _look_at_page if campaign.query else _look_at_lines
    while goes_on():
        with database.atomic():
            same = Campaign.objects.filter(pk=campaign.pk, state=CampaignState.PREPARING)
            if not same.select_for_update().exists():  # somebody else has ended it meanwhile
                return
            is_done = step(campaign)
            if is_done:
                campaign.state, campaign.is_settled = CampaignState.READY, True
            campaign.save(update_fields=["cursor", "problem", "state", "is_settled"])
        if is_done:
            return


def read_query(query: str, person: User) -> Narrowed:
    """A query as the table of transactions understands it for this person."""
    table = admin.site.get_model_admin(Transaction)
    assert isinstance(table, TransactionTable)
    request = RequestFactory().get("/")
    request.user = person
    zone = Profile.objects.filter(user=person).values_list("time_zone", flat=True).first()
    with timezone.override(zone or "UTC"):  # a day of a filter is one of theirs
        return table.read(request, query)


def why_not_read(narrowed: Narrowed) -> str:
    """The sentence why a query makes no campaign, or ''.

    The table ignores what makes no sense to it, and shows more then: no more may be refunded.
    """
    if not narrowed.ignored:
        return ""
    sentence = _("The search asks for what is not known (%s). Filter anew, and make another one.")
    return sentence % ", ".join(narrowed.ignored)


def _look_at_page(campaign: Campaign) -> bool:
    narrowed = read_query(campaign.query, campaign.created_by)
    if sentence := why_not_read(narrowed):
        campaign.problem = sentence[:300]
        return True
    rows = narrowed.queryset.order_by("-created_at", "-pk")
    if place := Cursor.read(campaign.cursor, Transaction):
        rows = rows.filter(place.beyond())
    found = list(rows.select_related("account")[:_PAGE])
    items = [_item(campaign, payment) for payment in found]
    CampaignItem.objects.bulk_create(items, ignore_conflicts=True)
    if found:
        campaign.cursor = Cursor(False, found[-1].created_at, found[-1].pk).write()
    if campaign.items.count() > MOST_ITEMS:
        campaign.problem = (
            _("These are more than %s payments. Narrow the search, and make another campaign.")
            % MOST_ITEMS
        )
        return True
    return len(found) < _PAGE


def _look_at_lines(campaign: Campaign) -> bool:
    items = list(campaign.items.filter(state=ItemState.NAMED).order_by("pk")[:_PAGE])
    found = _find([item.named for item in items], campaign.created_by)
    known = campaign.items.filter(transaction__isnull=False)
    taken = set(known.values_list("transaction", flat=True))
    for item in items:
        payments = found.get(item.named, [])
        if len(payments) != 1:
            item.state, item.why = ItemState.EXCLUDED, _why_not_found(payments)
            continue
        [payment] = payments
        if payment.pk in taken:
            item.state, item.why = ItemState.EXCLUDED, _("The file names this payment twice.")
            continue
        taken.add(payment.pk)
        _judge(item, payment, campaign)
    written = ["transaction", "currency", "amount_minor", "left_minor", "state", "why"]
    CampaignItem.objects.bulk_update(items, written)
    return len(items) < _PAGE


def _find(ids: Sequence[str], person: User) -> dict[str, list[Transaction]]:
    """The payments that bear these ids at any account that the person sees, by id."""
    seen = within(ProcessorAccount.objects.all(), person, "transactions.view_transaction", "pk")
    accounts = seen.values_list("pk", flat=True)
    # By account, as the index of ids begins with it.
    rows = Transaction.objects.filter(account__in=list(accounts), external_id__in=ids)
    found: dict[str, list[Transaction]] = {}
    for payment in rows.select_related("account").defer("search_text"):
        found.setdefault(payment.external_id, []).append(payment)
    return found


def _why_not_found(payments: Sequence[Transaction]) -> str:
    if payments:
        return _("Several accounts have a payment of this id.")
    return _("No payment has this id.")


def _item(campaign: Campaign, payment: Transaction) -> CampaignItem:
    item = CampaignItem(campaign=campaign)
    _judge(item, payment, campaign)
    return item


def _judge(item: CampaignItem, payment: Transaction, campaign: Campaign) -> None:
    """Say how much of a payment goes back, or why nothing does."""
    item.transaction = payment
    item.currency, item.left_minor = payment.currency, payment.refundable_minor
    item.state, item.why = ItemState.INCLUDED, ""
    try:
        amount = _amount(item.typed, payment, campaign.percent)
    except InvalidAmount as error:
        amount, item.why = Money(0, payment.currency), explain(error)
    item.amount_minor = amount.minor
    item.why = item.why or _why_left_out(payment, amount, campaign.created_by)
    if item.why:
        item.state, item.why = ItemState.EXCLUDED, item.why[:300]


def _amount(typed: str, payment: Transaction, percent: int) -> Money:
    """What was typed, or the percentage of what was paid; raises InvalidAmount."""
    if typed:
        return parse_amount(typed, payment.currency)
    minor = min(payment.amount_minor * percent // 100, payment.refundable_minor)
    step = gateway_class(payment.processor).smallest_step(payment.currency)
    return Money(minor - minor % step, payment.currency)


def _why_left_out(payment: Transaction, amount: Money, person: User) -> str:
    if not all(person.has_perm(right, payment) for right in RIGHTS_TO_MAKE):
        return _("You may not make campaigns for this account.")
    if found := services.blocked(payment):
        return found.sentence
    if not amount.minor:
        return _("That would be nothing.")
    if amount.minor > payment.refundable_minor:
        return _("That is more than the %s that can still be refunded.") % payment.refundable
    found = decision.check_step(payment, amount)
    return found.sentence if found else ""
