"""Processor accounts: one set of credentials at one processor, live or test."""

from __future__ import annotations

from collections.abc import Mapping

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from . import credentials


class Processor(models.TextChoices):
    STRIPE = "stripe", "Stripe"
    PAYPAL = "paypal", "PayPal"
    AUTHORIZENET = "authorizenet", "Authorize.net"
    NMI = "nmi", "NMI"


class Mode(models.TextChoices):
    TEST = "test", _("Test")
    LIVE = "live", _("Live")


class ProcessorAccount(models.Model):
    """Credentials are write-only: this model encrypts them, the gateway registry decrypts.

    They are sealed for the slug, the processor and the mode: none of these ever changes.
    """

    slug = models.SlugField(_("name"), max_length=50, unique=True)
    processor = models.CharField(_("processor"), max_length=20, choices=Processor)
    mode = models.CharField(_("mode"), max_length=4, choices=Mode)
    base_url = models.URLField(
        _("address"),
        blank=True,
        help_text=_("Only for test accounts and NMI resellers; empty means the processor's own."),
    )
    currency = models.CharField(
        _("currency"),
        max_length=3,
        blank=True,
        validators=[RegexValidator("^[A-Z]{3}$")],
        help_text=_(
            "The account's only currency, where the processor does not name one per payment."
        ),
    )
    is_active = models.BooleanField(_("active"), default=True)
    # What its contract says, for the people who refund: nothing is charged by these.
    fee_basis_points = models.PositiveSmallIntegerField(default=0)
    refund_fee_minor = models.PositiveBigIntegerField(default=0)
    refund_fee_currency = models.CharField(max_length=3, blank=True)
    arrives_after_days = models.PositiveSmallIntegerField(
        _("arrives after, business days"), null=True, blank=True, validators=[MaxValueValidator(99)]
    )
    arrives_within_days = models.PositiveSmallIntegerField(
        _("arrives within, business days"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(99)],
        help_text=_("When the customer sees a refund. Empty: as the processor says, if it does."),
    )
    encrypted_credentials = models.TextField(editable=False, default="")
    credential_fingerprint = models.CharField(max_length=16, editable=False, default="")
    paused_reason = models.CharField(
        _("paused because"),
        max_length=300,
        blank=True,
        editable=False,
        help_text=_("Set when the processor rejects the credentials; a good check clears it."),
    )
    held_reason = models.CharField(
        _("held because"),
        max_length=300,
        blank=True,
        editable=False,
        help_text=_("Set after a restore; finishing the reconciliation clears it."),
    )
    created_at = models.DateTimeField(auto_now_add=True)

    # Whether others were set than were read: see gateways.accounts.store_account.
    has_new_credentials = False

    class Meta:
        verbose_name = _("processor account")
        verbose_name_plural = _("processor accounts")
        ordering = ["slug"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(processor__in=Processor.values),
                name="account_processor_is_known",
            ),
            models.CheckConstraint(
                condition=models.Q(mode__in=Mode.values), name="account_mode_is_known"
            ),
            models.CheckConstraint(
                condition=models.Q(fee_basis_points__lte=10_000), name="account_fee_is_a_part"
            ),
            models.CheckConstraint(
                condition=models.Q(refund_fee_minor=0) | ~models.Q(refund_fee_currency=""),
                name="account_refund_fee_has_a_currency",
            ),
            models.CheckConstraint(
                condition=models.Q(arrives_after_days__isnull=True)
                | models.Q(
                    arrives_within_days__isnull=False,
                    arrives_after_days__lte=models.F("arrives_within_days"),
                ),
                name="account_arrival_is_in_order",
            ),
        ]

    def __str__(self) -> str:
        return self.slug

    @property
    def stopped_reason(self) -> str:
        """Why nothing is sent through it at present, or empty."""
        if not self.is_active:
            return gettext("The account is switched off.")
        return self.held_reason or self.paused_reason

    def set_credentials(self, values: Mapping[str, str]) -> None:
        """Replace the credentials; the caller saves."""
        self.encrypted_credentials = credentials.encrypt(values, self)
        self.credential_fingerprint = credentials.fingerprint(values)
        self.has_new_credentials = True
