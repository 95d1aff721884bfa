"""Celery's doors into this app. Each is safe to run twice or never."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from . import running

# As for all that may be in the queue of long tasks: taken from it at once, so that the broker never
# hands it out a second time. The beat finds what a lost worker leaves.
_LONG: dict[str, Any] = {
    "soft_time_limit": 3300,
    "time_limit": 3600,
    "acks_late": False,
    "reject_on_worker_lost": False,
}


@shared_task(name="campaigns.tasks.work", **_LONG)
def work(campaign_id: int) -> None:
    running.work(campaign_id)


@shared_task(name="campaigns.tasks.hand_out_open")
def hand_out_open() -> None:
    running.hand_out_open()
