"""What processors notified us of. A notice carries no authority: it only makes us ask again."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from gateways.models import Mode, ProcessorAccount


class WebhookState(models.TextChoices):
    RECEIVED = "received", _("Waiting")
    PROCESSED = "processed", _("Processed")
    IGNORED = "ignored", _("Nothing to do")
    FAILED = "failed", _("Not processed")
    REJECTED = "rejected", _("Rejected")


class WebhookEvent(models.Model):
    """One verified notice, however often it was delivered, or one delivery that was rejected.

    The body is not kept, because it tells of customers: its hash is, and the ids it named.
    """

    account = models.ForeignKey(ProcessorAccount, models.PROTECT, related_name="+")
    mode = models.CharField(max_length=4, choices=Mode)
    event_id = models.CharField(_("event"), max_length=200, null=True)  # None: not verified
    event_type = models.CharField(_("type"), max_length=200, blank=True)
    payment_id = models.CharField(_("payment"), max_length=100, blank=True)
    refund_id = models.CharField(_("refund"), max_length=100, blank=True)
    reference = models.CharField(_("reference"), max_length=100, blank=True)
    occurred_at = models.DateTimeField(null=True)
    body_sha256 = models.BinaryField(max_length=32)
    state = models.CharField(_("state"), max_length=10, choices=WebhookState)
    deliveries = models.PositiveIntegerField(_("deliveries"), default=1)
    received_at = models.DateTimeField(_("received"), db_default=Now())
    last_received_at = models.DateTimeField(db_default=Now())
    processed_at = models.DateTimeField(_("processed"), null=True)
    tries = models.PositiveSmallIntegerField(_("tries"), default=0)
    next_try_at = models.DateTimeField(null=True)
    problem = models.CharField(_("problem"), max_length=500, blank=True)

    class Meta:
        verbose_name = _("webhook")
        verbose_name_plural = _("webhooks")
        permissions = [("process_webhook", _("Can process webhooks again"))]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "mode", "event_id"],
                condition=Q(event_id__isnull=False),
                name="webhook_is_stored_once",
            ),
            models.CheckConstraint(
                condition=Q(state__in=WebhookState.values), name="webhook_state_is_known"
            ),
            models.CheckConstraint(
                condition=Q(event_id__isnull=False) | Q(state=WebhookState.REJECTED),
                name="webhook_without_an_id_is_rejected",
            ),
        ]
        indexes = [
            models.Index(fields=["-received_at", "-id"], name="webhook_newest"),
            models.Index(fields=["account", "-received_at", "-id"], name="webhook_by_account"),
            models.Index(fields=["state", "-received_at", "-id"], name="webhook_by_state"),
            # People search by the beginning of an id.
            *(
                models.Index(
                    fields=[name], name=f"webhook_by_{name}", opclasses=["text_pattern_ops"]
                )
                for name in ("event_id", "payment_id", "refund_id")
            ),
            models.Index(
                fields=["next_try_at"],
                condition=Q(state__in=[WebhookState.RECEIVED, WebhookState.FAILED]),
                name="webhook_due",
            ),
        ]

    def __str__(self) -> str:
        return self.event_type or str(_("Rejected webhook"))
