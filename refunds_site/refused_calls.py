"""Refused money actions, over REST and on the staff site, as the audit log has them.

What a view answers itself it tells itself: its forms and buttons (refunds/refusals.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.db.models import Model
from django.http import Http404, HttpRequest
from rest_framework.exceptions import APIException
from rest_framework.request import Request

from access.models import ApiToken, Scope
from campaigns.admin import PRESSES
from campaigns.models import Campaign
from refunds.deciding import DECISIONS
from refunds.models import Attention, Refund
from refunds.refusals import find, record_refusal
from refunds.steps import STEPS
from refunds.story import BUTTONS
from transactions.models import Transaction

_MOVES_MONEY = {Scope.REFUND, Scope.APPROVE}
# Names of the staff site's addresses → what is done there, to what.
_PAGES: dict[str, tuple[str, type[Model]]] = {
    "transactions_transaction_refund": ("refund", Transaction),
    **{f"refunds_refund_{name}": (name, Refund) for name in (*BUTTONS, *DECISIONS)},
    **{f"refunds_attention_{name}": (str(name), Attention) for name in STEPS},
    **{f"campaigns_campaign_{name}": (name, Campaign) for name in PRESSES},
}


def record_refused_call(request: Request, view: Any, problem: Mapping[str, Any]) -> None:
    """Tell of a call that would have moved money; ``problem`` is the document of the answer."""
    action = getattr(view, "action", None)
    right = getattr(view, "rights", {}).get(action)
    if right is None or right.scope not in _MOVES_MONEY or problem["status"] >= 500:
        return
    if not request.user.is_authenticated:  # a wrong token: nobody is known
        return
    token = request.auth.name if isinstance(request.auth, ApiToken) else ""
    key = view.kwargs.get("pk")
    about = find(view.queryset.model, key)
    record_refusal(
        str(action),
        about,
        actor=request.user,
        code=problem["type"].rpartition(":")[2],
        why=" ".join([problem["detail"], *_sentences(problem.get("errors", {}))]),
        amount=_typed_amount(request),
        token=token,
        asked_for="" if about else f"{view.queryset.model._meta.label_lower} {key}",
    )


def _typed_amount(request: Request) -> Any:
    """As it stands in the body, if that can be read."""
    with suppress(APIException, SuspiciousOperation, OSError):
        return request.data.get("amount", "") if isinstance(request.data, Mapping) else ""
    return ""


def _sentences(errors: Mapping[str, Any]) -> list[str]:
    return [f"{field}: {' '.join(map(str, lines))}" for field, lines in errors.items()]


def record_refused_page(request: HttpRequest, refusal: Exception) -> None:
    """Tell of a press on the staff site that was answered with 403 or 404."""
    match = request.resolver_match
    page = _PAGES.get(match.url_name or "") if match else None
    if match is None or page is None or request.method != "POST":
        return
    action, model = page
    key = match.kwargs.get("object_id", match.kwargs.get("case_id"))
    about = find(model, key)
    gone = isinstance(refusal, Http404)
    record_refusal(
        action,
        about,
        actor=request.user,
        code="not_found" if gone else "not_allowed",
        why=str(refusal),
        amount=request.POST.get("amount", ""),
        asked_for="" if about else f"{model._meta.label_lower} {key}",
    )
