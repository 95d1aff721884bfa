"""How the staff site looks and what its sidebar leads to (the settings of django-unfold)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The sidebar of a person: groups of links to what they may see."""
    from .sidebar import Sidebar  # models: not before the settings are read

    return Sidebar(request).groups()


def _file(name: str) -> Callable[[HttpRequest], str]:
    return lambda _request: static(f"desk/{name}")


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Refund Desk",
    "SITE_HEADER": "Refund Desk",
    "SITE_URL": None,
    "SITE_ICON": _file("icon.svg"),
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _file("icon.svg")}],
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "7px",
    "STYLES": [_file("desk.css")],
    "SCRIPTS": [_file("desk.js")],
    "COLORS": {
        "primary": {
            "50": "oklch(97.2% .014 175)",
            "100": "oklch(94.2% .03 175)",
            "200": "oklch(89.4% .055 175)",
            "300": "oklch(82.6% .085 175)",
            "400": "oklch(75.5% .105 175)",
            "500": "oklch(66% .105 176)",
            "600": "oklch(50.5% .088 178)",
            "700": "oklch(43.5% .075 179)",
            "800": "oklch(37% .062 180)",
            "900": "oklch(31.5% .05 181)",
            "950": "oklch(22% .036 182)",
        },
    },
    "ACCOUNT": {
        "navigation": [
            {"title": gettext_lazy("My settings"), "link": reverse_lazy("admin:me")},
            {"title": gettext_lazy("Your security"), "link": reverse_lazy("mfa_index")},
        ]
    },
    "SIDEBAR": {"show_search": False, "navigation": navigation},
}
