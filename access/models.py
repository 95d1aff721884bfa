"""Roles for single accounts, API tokens narrowed to scopes, and what people set up."""

from __future__ import annotations

import hashlib
import secrets

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from gateways.models import ProcessorAccount


class Scope(models.TextChoices):
    READ = "read", _("Read transactions and refunds")
    WRITE_NOTES = "notes", _("Write notes")
    REFUND = "refund", _("Request, cancel and retry refunds")
    APPROVE = "approve", _("Approve and reject refunds")


class ApiToken(models.Model):
    """Acts as ``user`` within ``scopes``; ``accounts`` empty means every account the user sees."""

    name = models.CharField(_("name"), max_length=100, unique=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="api_tokens",
        verbose_name=_("acts as"),
    )
    digest = models.CharField(max_length=64, unique=True, editable=False)
    scopes = models.JSONField(_("scopes"), default=list)
    accounts = models.ManyToManyField(
        ProcessorAccount,
        through="TokenAccount",
        related_name="+",
        blank=True,
        verbose_name=_("only for accounts"),
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    last_used_at = models.DateTimeField(_("last used at"), null=True)
    revoked_at = models.DateTimeField(_("revoked at"), null=True)

    class Meta:
        verbose_name = _("API token")
        verbose_name_plural = _("API tokens")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @staticmethod
    def digest_of(key: str) -> str:
        # The key is 256 random bits, so a plain hash is as good as a slow one.
        return hashlib.sha256(key.encode()).hexdigest()

    def issue(self) -> str:
        """Give the token a fresh key and return it: the only moment at which it is known."""
        key = f"rd_{secrets.token_urlsafe(32)}"
        self.digest = self.digest_of(key)
        return key

    def revoke(self) -> None:
        self.revoked_at = timezone.now()
        self.save(update_fields=["revoked_at"])

    def facts(self) -> dict[str, object]:
        """What it may, as the audit log tells it."""
        accounts = sorted(account.slug for account in self.accounts.all())
        return {"user": self.user.get_username(), "scopes": self.scopes, "accounts": accounts}


class TokenAccount(models.Model):
    """One account that a token is limited to.

    The account is protected: if it could vanish, a token limited to it would see every account.
    """

    token = models.ForeignKey(ApiToken, models.CASCADE)
    account = models.ForeignKey(ProcessorAccount, models.PROTECT, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["token", "account"], name="token_names_an_account_once")
        ]

    def __str__(self) -> str:
        return f"{self.token} {self.account}"


class AccountRole(models.Model):
    """A role of a person for one account; their groups are what they have for every account."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="account_roles")
    role = models.ForeignKey(
        Group, models.CASCADE, related_name="account_roles", verbose_name=_("role")
    )
    account = models.ForeignKey(
        ProcessorAccount, models.CASCADE, related_name="+", verbose_name=_("account")
    )

    class Meta:
        verbose_name = _("role for one account")
        verbose_name_plural = _("roles for one account")
        default_permissions = ()  # who may change people gives and takes them
        constraints = [
            models.UniqueConstraint(
                fields=["user", "role", "account"], name="account_role_is_given_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.role} ({self.account.slug})"


class Profile(models.Model):
    """What a person has set up for themselves. Without one everything is as it comes."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="profile", primary_key=True
    )
    # Of the transactions table, as :mod:`transactions.columns` names them; null is the usual ones.
    columns = models.JSONField(null=True)
    # Empty: as the browser asks, and UTC.
    language = models.CharField(_("language"), max_length=10, blank=True, db_default="")
    time_zone = models.CharField(_("time zone"), max_length=60, blank=True, db_default="")
    # Sessions of an earlier one are over: "sign out everywhere else" counts up.
    generation = models.PositiveIntegerField(default=0, db_default=0, editable=False)

    class Meta:
        verbose_name = _("profile")
        verbose_name_plural = _("profiles")
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.user)
