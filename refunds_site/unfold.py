"""How the staff site looks and what its sidebar leads to (the settings of django-unfold)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse, reverse_lazy
from django.utils.html import escape, format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

# The filters that items of the sidebar stand for, per list; others leave an item marked.
_FILTERS = {
    "transactions_transaction": ("processor", "duplicate"),
    "refunds_refund": ("needs_attention", "status"),
}


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The sidebar of a person: groups of links to what they may see."""
    # Models: not before the settings are read.
    from django.contrib.auth.models import User

    from refunds.inbox import count_open_cases, count_to_approve
    from transactions.saved_views import canonical, shown_to

    def item(title: str, icon: str, model: str, right: str, **query: str) -> dict[str, Any]:
        address = reverse(f"admin:{model}_changelist")
        names = _FILTERS.get(model, ())
        chosen = {name: request.GET[name] for name in names if request.GET.get(name)}
        return {
            "title": title,
            "icon": icon,
            "link": f"{address}?{urlencode(query)}" if query else address,
            "active": request.path == address and chosen == query,
            "permission": lambda request: request.user.has_perm(right),
        }

    def payments(title: str, icon: str = "circle", **query: str) -> dict[str, Any]:
        right = "transactions.view_transaction"
        link = item(title, icon, "transactions_transaction", right, **query)
        return link | {"active": link["active"] and not any(view["active"] for view in kept)}

    def refunds(title: str, icon: str, **query: str) -> dict[str, Any]:
        return item(title, icon, "refunds_refund", "refunds.view_refund", **query)

    def attention() -> dict[str, Any]:
        right = "refunds.view_attention"
        inbox = item(_("Needs attention"), "inbox", "refunds_attention", right)
        if request.user.has_perm(right):
            inbox["badge"] = count_open_cases(99)
        return inbox

    def approvals() -> dict[str, Any]:
        status, right = "awaiting_approval", "refunds.approve_refund"
        queue = item(_("To approve"), "how_to_reg", "refunds_refund", right, status=status)
        if isinstance(request.user, User) and request.user.has_perm(right):
            queue["badge"] = count_to_approve(request.user, 99)
        return queue

    def views() -> list[dict[str, Any]]:
        right = "transactions.view_transaction"
        if not (isinstance(request.user, User) and request.user.has_perm(right)):
            return []
        address = reverse("admin:transactions_transaction_changelist")
        shown = canonical(request.GET.dict(), request.GET.keys() - {"p"})
        return [
            {
                "title": escape(view.name),  # the sidebar takes it for markup
                "icon": "bookmark" if view.owner_id == request.user.pk else "group",
                "link": f"{address}?{view.query}",
                "active": request.path == address and shown == view.query,
                "badge": format_html('<span id="view-number-{}"></span>', view.pk),
                "badge_variant": "primary",
                "permission": lambda _request: True,
            }
            for view in shown_to(request, request.user)
        ]

    kept = views()
    return [
        {
            "title": "",
            "items": [
                {
                    "title": _("Home"),
                    "icon": "home",
                    "link": reverse("admin:index"),
                    "active": request.path == reverse("admin:index"),
                    "permission": lambda request: request.user.has_perm("refunds.view_refund"),
                }
            ],
        },
        {
            "title": _("Transactions"),
            "items": [
                payments(_("All"), "receipt_long"),
                payments("Stripe", processor="stripe"),
                payments("PayPal", processor="paypal"),
                payments("Authorize.net", processor="authorizenet"),
                payments("NMI", processor="nmi"),
                payments(_("Charged twice?"), "content_copy", duplicate="true"),
                item(
                    _("Customers"), "person", "transactions_customer",
                    "transactions.view_customer",
                ),
            ],
        },
        {"title": _("Saved views"), "items": kept},
        {
            "title": _("Refunds"),
            "items": [
                attention(),
                approvals(),
                refunds(_("All refunds"), "undo"),
                refunds(_("Failed"), "error", status="failed"),
                item(
                    _("Campaigns"), "campaign", "campaigns_campaign", "campaigns.view_campaign"
                ),
                item(
                    _("Webhooks"), "webhook", "refunds_webhookevent", "refunds.view_webhookevent"
                ),
            ],
        },
        {
            "title": _("Settings"),
            "items": [
                item(
                    _("Refund reasons"), "label", "refunds_refundreason",
                    "refunds.change_refundreason",
                ),
                item(
                    _("Approval limits"), "approval", "refunds_approvallimit",
                    "refunds.view_approvallimit",
                ),
                item(
                    _("Processor accounts"), "account_balance", "gateways_processoraccount",
                    "gateways.view_processoraccount",
                ),
                item(_("People"), "group", "auth_user", "auth.view_user"),
                item(_("Groups"), "badge", "auth_group", "auth.view_group"),
                item(_("API tokens"), "key", "access_apitoken", "access.view_apitoken"),
            ],
        },
    ]  # fmt: skip


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
        "navigation": [{"title": gettext_lazy("My settings"), "link": reverse_lazy("admin:me")}]
    },
    "SIDEBAR": {"show_search": False, "navigation": navigation},
}
