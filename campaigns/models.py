"""A campaign: many refunds for one reason, as one decision that two people take."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from gateways.money import Money
from refunds.models import Refund, RefundReason
from transactions.models import SavedView, Transaction


class CampaignState(models.TextChoices):
    """What people want of a campaign. A worker brings the refunds there (``is_settled``)."""

    PREPARING = "preparing", _("Dry run under way")
    READY = "ready", _("Waits for a second person")
    RUNNING = "running", _("Running")
    PAUSED = "paused", _("Paused")
    FINISHED = "finished", _("Finished")
    CANCELED = "canceled", _("Canceled")


# What somebody can still stop.
STARTED = (CampaignState.RUNNING, CampaignState.PAUSED)


class Campaign(models.Model):
    """Which payments, how much of each, why, and how far it is.

    Either ``query``, as a saved view keeps it, or a file made the items. ``percent`` is of what was
    paid, and no more than what is left; a file may name an amount for each payment.
    """

    name = models.CharField(_("name"), max_length=100)
    query = models.CharField(max_length=SavedView.QUERY_LENGTH, blank=True)
    percent = models.PositiveSmallIntegerField(
        _("percent"), default=100, validators=[MinValueValidator(1), MaxValueValidator(100)]
    )
    reason = models.ForeignKey(RefundReason, models.PROTECT, related_name="+")
    note = models.TextField(_("internal note"), blank=True)
    words = models.TextField(_("words for the customer"), blank=True)
    most_refunds = models.PositiveIntegerField(_("at most so many refunds"))
    # In thousandths of a major unit, for each currency by itself.
    most_money = models.BigIntegerField(_("at most so much of each currency"))
    state = models.CharField(
        _("state"), max_length=10, choices=CampaignState, default=CampaignState.PREPARING
    )
    is_settled = models.BooleanField(default=False)
    problem = models.CharField(max_length=300, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    created_at = models.DateTimeField(_("made at"), auto_now_add=True)
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+"
    )
    started_at = models.DateTimeField(null=True)
    steered_by = models.ForeignKey(  # who last started, paused or canceled it
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+"
    )
    ended_at = models.DateTimeField(null=True)
    # How far the dry run has come: the last payment that was looked at.
    cursor = models.CharField(max_length=60, blank=True)
    lease_until = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("campaign")
        verbose_name_plural = _("campaigns")
        default_permissions = ("add", "view")
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=CampaignState.values), name="campaign_state_is_known"
            ),
            models.CheckConstraint(
                condition=Q(percent__range=(1, 100)), name="campaign_percent_is_one"
            ),
            models.CheckConstraint(
                condition=Q(started_by__isnull=True) | ~Q(started_by=F("created_by")),
                name="campaign_is_started_by_another_person",
            ),
        ]
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="campaign_newest"),
            models.Index(
                fields=["lease_until"], condition=Q(is_settled=False), name="campaign_under_way"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class ItemState(models.TextChoices):
    NAMED = "named", _("Not looked at yet")
    EXCLUDED = "excluded", _("Left out")
    INCLUDED = "included", _("To be refunded")
    ASKED = "asked", _("Asked for")
    REFUSED = "refused", _("Refused")
    SKIPPED = "skipped", _("Not asked for")


class CampaignItem(models.Model):
    """One payment of a campaign, or one line of a file that names none.

    ``left_minor`` is what was left in the dry run: if that has changed, it is refused.
    """

    campaign = models.ForeignKey(Campaign, models.CASCADE, related_name="items")
    transaction = models.ForeignKey(Transaction, models.PROTECT, null=True, related_name="+")
    named = models.CharField(max_length=100, blank=True)  # as the file has it
    typed = models.CharField(max_length=30, blank=True)  # its amount there
    currency = models.CharField(max_length=3, blank=True)
    amount_minor = models.BigIntegerField(default=0)
    left_minor = models.BigIntegerField(default=0)
    state = models.CharField(max_length=10, choices=ItemState, default=ItemState.INCLUDED)
    why = models.CharField(max_length=300, blank=True)
    refund = models.OneToOneField(Refund, models.PROTECT, null=True, related_name="campaign_item")

    class Meta:
        verbose_name = _("payment of a campaign")
        verbose_name_plural = _("payments of campaigns")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["campaign", "transaction"], name="campaign_has_a_payment_once"
            ),
            models.CheckConstraint(
                condition=Q(state__in=ItemState.values), name="campaign_item_state_is_known"
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["included", "asked"])
                | Q(transaction__isnull=False, amount_minor__gt=0),
                name="campaign_item_has_money_to_give",
            ),
            models.CheckConstraint(
                condition=Q(state="asked", refund__isnull=False)
                | ~Q(state="asked") & Q(refund__isnull=True),
                name="campaign_item_was_asked_with_its_refund",
            ),
        ]
        indexes = [models.Index(fields=["campaign", "state", "id"], name="campaign_item_by_state")]

    def __str__(self) -> str:
        return self.named or str(self.transaction)

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)

    @property
    def left(self) -> Money:
        return Money(self.left_minor, self.currency)
