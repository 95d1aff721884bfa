"""Campaigns of a searched set keep the search, and that may name a customer."""

from __future__ import annotations

from typing import Any

from transactions.erasure import Names, erase_from_queries

from .models import Campaign


def erase_from_campaigns(names: Names, **_signal: Any) -> None:
    """What a customer who is erased was searched by; received in the same commit."""
    erase_from_queries(Campaign.objects.all(), names)
