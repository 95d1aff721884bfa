"""The Celery application: queues, limits, and what beat does when.

A message carries an id and is only a hint; the refund rows are the queue (docs/adr). So a lost,
doubled or late message changes nothing but seconds, and retries live in ``next_action_at``,
never in an ETA.
"""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "refunds_site.settings")

app = Celery("refunds_site")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
