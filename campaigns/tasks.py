"""Celery's doors into this app. Each is safe to run twice or never."""

from __future__ import annotations

from celery import shared_task

from . import running


@shared_task(name="campaigns.tasks.work")
def work(campaign_id: int) -> None:
    running.work(campaign_id)


@shared_task(name="campaigns.tasks.hand_out_open")
def hand_out_open() -> None:
    running.hand_out_open()
