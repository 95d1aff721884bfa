"""Deciding about refunds that await approval, as their page does."""

from __future__ import annotations

import re

from django.http import HttpResponse
from django.test import Client

from refunds.models import Refund


def decide(browser: Client, refund: Refund, action: str, **typed: str) -> HttpResponse:
    """Press a button of the refund's page, as it was drawn."""
    page = browser.get(f"/admin/refunds/refund/{refund.pk}/change/").content.decode()
    seen = re.search(r'name="seen" value="(\w+)"', page)
    fields = {"seen": seen[1] if seen else ""} | typed
    return browser.post(f"/admin/refunds/refund/{refund.pk}/{action}/", fields, follow=True)
