"""The Celery application: queues, limits, and what beat does when.

A message carries an id and is only a hint; the refund rows are the queue (docs/adr). So a lost,
doubled or late message changes nothing but seconds, and retries live in ``next_action_at``,
never in an ETA.
"""

import os
from typing import Any

from celery import Celery
from celery.signals import task_postrun
from django.db import reset_queries

from . import tracing  # noqa: F401  its signals

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "refunds_site.settings")

app = Celery("refunds_site")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@task_postrun.connect
def forget_queries(**_signal: Any) -> None:
    """In debug mode Django keeps every statement of a thread until a web request begins."""
    reset_queries()
