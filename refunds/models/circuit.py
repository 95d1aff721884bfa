"""Whether the processor of an account answers at all."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from gateways.models import ProcessorAccount


class CircuitBreaker(models.Model):
    """Stops sending through an account whose processor does not answer; look-ups go on.

    ``failures`` counts calls in a row without an answer. ``down_since`` is set while the processor
    does not answer, ``retry_at`` while nothing is sent.
    """

    account = models.OneToOneField(
        ProcessorAccount, models.CASCADE, primary_key=True, related_name="circuit_breaker"
    )
    failures = models.PositiveIntegerField(default=0)
    down_since = models.DateTimeField(null=True)
    retry_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("circuit breaker")
        verbose_name_plural = _("circuit breakers")

    def __str__(self) -> str:
        return str(self.account)
