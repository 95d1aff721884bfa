"""The command ``recover``, and the time that it waits for."""

from __future__ import annotations

from datetime import timedelta

from django.core.management import call_command
from django.utils import timezone

from refunds.models import Attention


def pass_lag(*names: str) -> None:
    """Make holds look so old that their processors list all that they ever will; else all holds."""
    holds = Attention.objects.filter(subject__startswith="held:")
    if names:
        holds = holds.filter(account__slug__in=names)
    holds.update(raised_at=timezone.now() - timedelta(hours=4))


def an_hour_ago() -> str:
    return (timezone.now() - timedelta(hours=1)).isoformat()


def recover(capsys, **options: str) -> tuple[int, str]:
    """How ``recover`` ends and what it prints; it goes on with what is held unless told since."""
    code = 0
    try:
        call_command("recover", **options)
    except SystemExit as ended:
        code = int(ended.code or 0)
    return code, capsys.readouterr().out
