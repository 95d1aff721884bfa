"""What needs a person: open cases with an owner, and what two people rule about a refund."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from gateways.models import ProcessorAccount
from transactions.models import Transaction

from .refund import Refund, RefundAttempt
from .webhook import WebhookEvent

if TYPE_CHECKING:
    from django.contrib.auth.models import User


# How the subject begins when `recover` holds an account.
HOLD = "held:"


class AttentionKind(models.TextChoices):
    """Why a person is needed."""

    UNKNOWN_OUTCOME = "unknown_outcome", _("Outcome unknown")
    PENDING_LONG = "pending_long", _("Pending for days")
    NOT_APPROVED = "not_approved", _("Not approved yet")
    FOUND_SEVERAL = "found_several", _("Perhaps refunded twice")
    AMOUNT_DIFFERS = "amount_differs", _("Other amount at the processor")
    OVER_REFUNDED = "over_refunded", _("More went back than was paid")
    MADE_OUTSIDE = "made_outside", _("Refunded outside Refund Desk")
    RETURNED = "returned", _("Refund came back")
    PAID_AFTER_ALL = "paid_after_all", _("Counted as not made, but made")
    MISSING = "missing", _("Not found at the processor")
    UNPLACED = "unplaced", _("Refund of an unknown payment")
    DISPUTED = "disputed", _("Disputed")
    NOT_SENT = "not_sent", _("Not sent")
    STUCK = "stuck", _("Stops its workers")
    ACCOUNT_PAUSED = "account_paused", _("Account paused")
    WEBHOOK_FAILED = "webhook_failed", _("Webhook not processed")


class AttentionQuerySet(models.QuerySet["Attention"]):
    def open(self) -> Self:
        """Those that still need a person."""
        return self.filter(closed_at__isnull=True)

    def close(self, outcome: str, by: User | None = None) -> int:
        """Close those that are open; how many.

        Cases about a refund go through ``attention.close_cases``, which keeps the refund true.
        """
        return self.open().update(closed_at=Now(), closed_by=by, outcome=outcome[:300])


class Attention(models.Model):
    """One case that needs a person. ``subject`` and ``kind`` make an open case unique.

    While a case about a refund is open, ``Refund.attention_reason`` and ``attention_since`` say the
    same as its oldest one; an invariant compares the two.
    """

    kind = models.CharField(_("kind"), max_length=20, choices=AttentionKind)
    subject = models.CharField(max_length=200)
    account = models.ForeignKey(ProcessorAccount, models.PROTECT, related_name="+")
    transaction = models.ForeignKey(Transaction, models.PROTECT, null=True, related_name="cases")
    refund = models.ForeignKey(Refund, models.PROTECT, null=True, related_name="cases")
    webhook = models.ForeignKey(WebhookEvent, models.PROTECT, null=True, related_name="cases")
    reason = models.CharField(_("reason"), max_length=300)
    evidence = models.JSONField(default=dict)  # names and values, for people to read
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="attention_cases"
    )
    raised_at = models.DateTimeField(_("since"), db_default=Now())
    closed_at = models.DateTimeField(_("closed at"), null=True)
    closed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+"
    )  # nobody, when the facts closed it
    outcome = models.CharField(_("outcome"), max_length=300, blank=True)

    objects = AttentionQuerySet.as_manager()

    class Meta:
        verbose_name = _("case")
        verbose_name_plural = _("cases that need attention")
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject"],
                condition=Q(closed_at__isnull=True),
                name="attention_is_raised_once",
            ),
            models.CheckConstraint(
                condition=Q(kind__in=AttentionKind.values), name="attention_kind_is_known"
            ),
            models.CheckConstraint(
                condition=Q(closed_at__isnull=False) | Q(closed_by__isnull=True, outcome=""),
                name="attention_is_closed_with_a_time",
            ),
        ]
        indexes = [
            models.Index(
                fields=["raised_at", "id"],
                condition=Q(closed_at__isnull=True),
                name="attention_oldest",
            ),
            models.Index(
                fields=["owner", "raised_at", "id"],
                condition=Q(closed_at__isnull=True),
                name="attention_by_owner",
            ),
            models.Index(
                fields=["-closed_at", "-id"],
                condition=Q(closed_at__isnull=False),
                name="attention_settled",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind_label}: {self.reason}"

    @property
    def is_hold(self) -> bool:
        """Whether the case is that `recover` holds an account."""
        return self.kind == AttentionKind.ACCOUNT_PAUSED and self.subject.startswith(HOLD)

    @property
    def kind_label(self) -> str:
        """The kind in words: a hold has its own."""
        return str(_("Account held") if self.is_hold else AttentionKind(self.kind).label)


class Verdict(models.TextChoices):
    """What people may rule about a refund whose outcome is not proven."""

    HAPPENED = "happened", _("It was made")
    DID_NOT = "did_not", _("It was not made")
    SEND_AGAIN = "send_again", _("It was not made: send it again")


class RulingState(models.TextChoices):
    """Where a ruling stands."""

    OPEN = "open", _("Waits for a second person")
    CONFIRMED = "confirmed", _("Confirmed")
    REJECTED = "rejected", _("Rejected")
    SUPERSEDED = "superseded", _("Overtaken by proof")


class RulingQuerySet(models.QuerySet["Ruling"]):
    def open(self) -> Self:
        """Those that wait for a second person."""
        return self.filter(decided_at__isnull=True)


class Ruling(models.Model):
    """What one person says became of an attempt, with evidence; a second one confirms or rejects.

    Without a second person's confirmation it changes nothing. Proof that comes first closes it,
    and then nobody has decided it.
    """

    refund = models.ForeignKey(Refund, models.PROTECT, related_name="rulings")
    attempt = models.ForeignKey(RefundAttempt, models.PROTECT, related_name="rulings")
    verdict = models.CharField(_("verdict"), max_length=10, choices=Verdict)
    evidence = models.TextField(_("evidence"))
    processor_refund_id = models.CharField(_("processor's id"), max_length=100, blank=True)
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField(db_default=Now())
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True)
    confirmed = models.BooleanField(default=False)

    objects = RulingQuerySet.as_manager()

    class Meta:
        verbose_name = _("ruling")
        verbose_name_plural = _("rulings")
        ordering = ["-proposed_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["refund"],
                condition=Q(decided_at__isnull=True),
                name="one_open_ruling",
            ),
            models.CheckConstraint(
                condition=Q(verdict__in=Verdict.values), name="ruling_verdict_is_known"
            ),
            models.CheckConstraint(
                condition=Q(decided_at__isnull=False) | Q(decided_by__isnull=True, confirmed=False),
                name="ruling_is_decided_with_a_time",
            ),
            models.CheckConstraint(
                condition=Q(confirmed=False) | Q(decided_by__isnull=False),
                name="ruling_is_confirmed_by_somebody",
            ),
            models.CheckConstraint(
                condition=Q(confirmed=False) | ~Q(decided_by=F("proposed_by")),
                name="ruling_is_confirmed_by_another_person",
            ),
            models.CheckConstraint(
                condition=~Q(verdict=Verdict.HAPPENED) | ~Q(processor_refund_id=""),
                name="ruling_that_it_happened_names_the_refund",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_verdict_display()} ({self.refund_id})"

    @property
    def state(self) -> RulingState:
        if self.decided_at is None:
            return RulingState.OPEN
        if self.decided_by_id is None:
            return RulingState.SUPERSEDED
        return RulingState.CONFIRMED if self.confirmed else RulingState.REJECTED
