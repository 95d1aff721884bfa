"""The first page: what needs the person, what happened today, and the last thirty days."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from django.contrib.auth.models import User
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone

from access.rights import within
from gateways.base import FailureCode
from gateways.failures import explain
from gateways.money import Money
from transactions.badges import Badge, number_of
from transactions.retelling import retell

from .approvals import to_approve
from .badges import case_badge
from .models import Attention, Refund, RefundEvent
from .states import MOVING, STANDING, Status

DAYS = 30
_CASES, _FAILED = 5, 5
# How far back a failure is still worth a line.
_LATELY = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Day:
    """The refunds that were asked for on a day, and their share of the tallest bar in percent."""

    date: date
    made: int
    failed: int
    made_share: int
    failed_share: int


@dataclass(frozen=True, slots=True)
class Home:
    """What a person sees first. ``given_back`` is what today's refunds come to, per currency."""

    cases: list[tuple[Attention, Badge]]
    open_cases: str
    to_approve: str
    asked_today: int
    given_back: list[Money]
    moving: int
    turned_down: list[Refund]  # what they asked for, and others rejected or nobody approved
    failed: list[tuple[Refund, str]]  # each with why
    days: list[Day]
    today: date


def describe(user: User) -> Home:
    """The page of a person, in as many queries however many refunds there are."""
    today = timezone.localdate()
    since = _midnight(today)
    refunds = within(Refund.objects.all(), user, "refunds.view_refund")
    open_cases = within(Attention.objects.open(), user, "refunds.view_attention")
    sums = list(
        refunds.filter(created_at__gte=since)
        .order_by("currency")
        .values("currency")
        .annotate(asked=Count("pk"), minor=Sum("amount_minor", filter=Q(status__in=STANDING)))
    )
    return Home(
        cases=_own_cases(open_cases, user),
        open_cases=number_of(open_cases),
        to_approve=number_of(to_approve(user)),
        asked_today=sum(row["asked"] for row in sums),
        given_back=[Money(row["minor"], row["currency"]) for row in sums if row["minor"]],
        moving=refunds.filter(status__in=MOVING).count(),
        turned_down=_turned_down_since(refunds.filter(requested_by=user), since - _LATELY),
        failed=_failed_since(refunds, since - _LATELY),
        days=last_days(refunds, today),
        today=today,
    )


def last_days(refunds: QuerySet[Refund], today: date) -> list[Day]:
    """Every one of the last thirty days, oldest first, whether anything was asked for or not."""
    first = today - timedelta(days=DAYS - 1)
    counted = (
        refunds.filter(created_at__gte=_midnight(first))
        .annotate(day=TruncDate("created_at"))
        .order_by("day")
        .values_list("day")
        .annotate(
            made=Count("pk", filter=Q(status__in=STANDING)),
            failed=Count("pk", filter=Q(status__in=[Status.FAILED, Status.RETURNED])),
        )
    )
    return _draw(first, {day: (made, failed) for day, made, failed in counted})


def _draw(first: date, counted: dict[date, tuple[int, int]]) -> list[Day]:
    dates = [first + timedelta(days=number) for number in range(DAYS)]
    tallest = max(map(sum, counted.values()), default=0) or 1
    found = ((each, *counted.get(each, (0, 0))) for each in dates)
    return [
        Day(each, made, failed, -(-100 * made // tallest), -(-100 * failed // tallest))
        for each, made, failed in found
    ]


def _turned_down_since(own: QuerySet[Refund], moment: datetime) -> list[Refund]:
    ends = RefundEvent.objects.filter(refund=OuterRef("pk"), kind__in=["rejected", "expired"])
    found = own.filter(Exists(ends), status=Status.CANCELED, created_at__gte=moment)
    return list(found.select_related("transaction").order_by("-created_at", "-pk")[:_FAILED])


def _failed_since(refunds: QuerySet[Refund], moment: datetime) -> list[tuple[Refund, str]]:
    failed = refunds.filter(status=Status.FAILED, created_at__gte=moment)
    newest = failed.select_related("transaction").order_by("-created_at", "-pk")[:_FAILED]
    return [(refund, _why(refund)) for refund in newest]


def _why(refund: Refund) -> str:
    """The words of the playbook, or of the processor where that has none."""
    if refund.failure_code in {"", FailureCode.OTHER}:
        return retell(refund.failure_message)
    return str(explain(refund.failure_code).explanation)


def _own_cases(open_cases: QuerySet[Attention], user: User) -> list[tuple[Attention, Badge]]:
    cases: Iterable[Attention] = (
        open_cases.filter(owner=user)
        .select_related("transaction", "refund")
        .order_by("raised_at", "pk")[:_CASES]
    )
    return [(case, case_badge(case)) for case in cases]


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))
