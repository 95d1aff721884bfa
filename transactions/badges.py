"""How a state looks: every screen takes its words from the choices and its tone from this table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet, TextChoices
from django.utils.functional import Promise

from .models import RefundProgress, TransactionStatus

# quiet: nothing to do; info and part: good to know; busy: it goes on by itself; good: done;
# warn: look at it; bad: it went wrong.
TONES: dict[TextChoices, str] = {
    RefundProgress.NONE: "quiet",
    RefundProgress.IN_PROGRESS: "busy",
    RefundProgress.PARTIAL: "part",
    RefundProgress.FULL: "good",
    TransactionStatus.AUTHORIZED: "warn",
    TransactionStatus.CAPTURED: "info",
    TransactionStatus.SETTLED: "quiet",
    TransactionStatus.VOIDED: "quiet",
    TransactionStatus.FAILED: "bad",
}


@dataclass(frozen=True, slots=True)
class Badge:
    """A word in a tone, and a sentence for who wants to know more."""

    label: str | Promise
    tone: str
    title: str | Promise = ""


def number_of(rows: QuerySet[Any], most: int = 99) -> str:
    """How many rows there are, for a badge: ``99+`` beyond ``most``, empty without one."""
    number = len(rows.values_list("pk")[: most + 1])
    return f"{most}+" if number > most else str(number or "")


def badge_of(choice: TextChoices, tones: dict[TextChoices, str] | None = None) -> Badge:
    """The badge of a state, by the table of this module or of another one."""
    return Badge(choice.label, (TONES if tones is None else tones)[choice])
