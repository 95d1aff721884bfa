"""What moves money or rights is pressed by somebody who has proven lately who they are.

Signing in is such a proof, and so is the page ``admin:prove``: by a second factor where the person
has one, by the password otherwise. It holds for ``STEP_UP_SECONDS``. A press without it leads to
that page and back; it is not done by the way, the person presses again. What was typed is lost with
it, so that a form of which nothing is there yet asks before it is filled in.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, reverse
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

from . import sessions
from .models import ApiToken
from .returning import follow, with_way_back

View = Callable[..., HttpResponse]


class ProofNeeded(PermissionDenied):
    default_detail = _(
        "This needs a proof of who you are that is only minutes old. Sign in again on the staff "
        "site, or use an API token."
    )
    default_code = "proof_needed"


def ask(request: HttpRequest) -> HttpResponse | None:
    """The way to the page that asks for a proof; None where it was given lately."""
    return None if sessions.is_proven(request) else _question(request)


def ask_ahead(request: HttpRequest) -> HttpResponse | None:
    """The same for a form that is opened: None where the proof holds half of its time longer."""
    if request.method not in {"GET", "HEAD"} or sessions.is_proven(request, and_stays=0.5):
        return None
    return _question(request)


def _question(request: HttpRequest) -> HttpResponse:
    pressed = {"pressed": "1"} if request.method == "POST" else {}
    return follow(request, with_way_back(request, reverse("admin:prove"), **pressed))


def proven(view: View) -> View:
    """A view of the staff site whose POST needs a proof."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        question = ask(request) if request.method == "POST" else None
        return question or view(request, *args, **kwargs)

    return guarded


def lacks_proof(request: Request) -> bool:
    """Whether it comes from a session without one; a token is narrowed by its scopes instead."""
    of_django = request._request  # noqa: SLF001 - DRF has no other name for it
    return not (isinstance(request.auth, ApiToken) or sessions.is_proven(of_django))


def ensure_proven(request: Request) -> None:
    """Raise ProofNeeded for a session without one."""
    if lacks_proof(request):
        raise ProofNeeded


class ProvenAdmin:
    """Before an admin: every press needs a proof, to add, change or delete, and of its actions."""

    def get_urls(self) -> list[Any]:
        patterns: list[Any] = super().get_urls()  # type: ignore[misc]
        for pattern in patterns:
            if isinstance(pattern, URLPattern):
                pattern.callback = proven(pattern.callback)
        return patterns

    def add_view(
        self,
        request: HttpRequest,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        may_add: bool = self.has_add_permission(request)  # type: ignore[attr-defined]
        question = ask_ahead(request) if may_add else None
        return question or super().add_view(request, form_url, extra_context)  # type: ignore[misc]
