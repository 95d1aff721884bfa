"""What the sidebar of the staff site leads to, for one person and the page that they see."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import escape, format_html
from django.utils.translation import gettext as _

from access.rights import may_somewhere, within
from campaigns.services import to_start
from refunds.approvals import to_approve
from refunds.models import Attention
from transactions.badges import number_of
from transactions.saved_views import canonical, shown_to

Item = dict[str, Any]

# The filters that items stand for, per list; others leave an item marked.
_FILTERS = {
    "transactions_transaction": ("processor", "duplicate"),
    "refunds_refund": ("needs_attention", "status"),
}
_PAYMENTS, _REFUNDS = "transactions_transaction", "refunds_refund"


class Sidebar:
    """Django-unfold asks each item itself whether the person may see it (``permission``)."""

    def __init__(self, request: HttpRequest) -> None:
        self.request = request
        self.user = request.user if isinstance(request.user, User) else None
        self.views = self._views()

    def groups(self) -> list[dict[str, Any]]:
        return [
            {"title": "", "items": [self._home()]},
            {"title": _("Transactions"), "items": self._transactions()},
            {"title": _("Saved views"), "items": self.views},
            {"title": _("Refunds"), "items": self._refunds()},
            {"title": _("Settings"), "items": self._settings()},
        ]

    def _home(self) -> Item:
        address = reverse("admin:index")
        return {
            "title": _("Home"),
            "icon": "home",
            "link": address,
            "active": self.request.path == address,
            "permission": lambda request: may_somewhere(request.user, "refunds.view_refund"),
        }

    def _transactions(self) -> list[Item]:
        return [
            self._payments(_("All"), "receipt_long"),
            self._payments("Stripe", processor="stripe"),
            self._payments("PayPal", processor="paypal"),
            self._payments("Authorize.net", processor="authorizenet"),
            self._payments("NMI", processor="nmi"),
            self._payments(_("Charged twice?"), "content_copy", duplicate="true"),
            self._item(_("Customers"), "person", "transactions_customer"),
        ]

    def _refunds(self) -> list[Item]:
        cases = self._item(_("Needs attention"), "inbox", "refunds_attention")
        right = "refunds.approve_refund"
        address = reverse("admin:refunds_refund_approvals")
        queue = self._item(_("To approve"), "how_to_reg", _REFUNDS, right) | {
            "link": address,
            "active": self.request.path == address,
        }
        campaigns = self._item(_("Campaigns"), "campaign", "campaigns_campaign")
        if self.user:
            open_cases = within(Attention.objects.open(), self.user, "refunds.view_attention")
            self._count(cases, open_cases)
            self._count(queue, to_approve(self.user))
            self._count(campaigns, to_start(self.user))
        return [
            cases,
            queue,
            self._item(_("All refunds"), "undo", _REFUNDS),
            self._item(_("Failed"), "error", _REFUNDS, status="failed"),
            campaigns,
            self._item(_("Webhooks"), "webhook", "refunds_webhookevent"),
        ]

    def _settings(self) -> list[Item]:
        reasons, accounts = "refunds_refundreason", "gateways_processoraccount"
        return [
            self._item_of_all(_("Refund reasons"), "label", reasons, "refunds.change_refundreason"),
            self._item(_("Approval rules"), "approval", "refunds_approvalrule"),
            self._item(_("Processor accounts"), "account_balance", accounts),
            self._item_of_all(_("People"), "group", "auth_user"),
            self._item_of_all(_("Groups"), "badge", "auth_group"),
            self._item_of_all(_("API tokens"), "key", "access_apitoken"),
            self._item(_("Audit log"), "history_edu", "refunds_auditline", "audit.view_auditentry"),
        ]

    def _views(self) -> list[Item]:
        if not (self.user and may_somewhere(self.user, "transactions.view_transaction")):
            return []
        address = reverse(f"admin:{_PAYMENTS}_changelist")
        shown = canonical(self.request.GET.dict(), self.request.GET.keys() - {"p"})
        return [
            {
                "title": escape(view.name),  # the sidebar takes it for markup
                "icon": "bookmark" if view.owner_id == self.user.pk else "group",
                "link": f"{address}?{view.query}",
                "active": self.request.path == address and shown == view.query,
                "badge": format_html('<span id="view-number-{}"></span>', view.pk),
                "badge_variant": "primary",
                "permission": lambda _request: True,
            }
            for view in shown_to(self.request, self.user)
        ]

    def _payments(self, title: str, icon: str = "circle", **query: str) -> Item:
        link = self._item(title, icon, _PAYMENTS, **query)
        is_view = any(view["active"] for view in self.views)
        return link | {"active": link["active"] and not is_view}

    def _item(self, title: str, icon: str, model: str, right: str = "", **query: str) -> Item:
        """A link to a model's list, for who may view it or has another ``right``."""
        app, _underscore, name = model.partition("_")
        address = reverse(f"admin:{model}_changelist")
        names = _FILTERS.get(model, ())
        chosen = {each: self.request.GET[each] for each in names if self.request.GET.get(each)}
        return {
            "title": title,
            "icon": icon,
            "link": f"{address}?{urlencode(query)}" if query else address,
            "active": self.request.path == address and chosen == query,
            "permission": lambda request: may_somewhere(
                request.user, right or f"{app}.view_{name}"
            ),
        }

    def _item_of_all(self, title: str, icon: str, model: str, right: str = "") -> Item:
        """A link to what belongs to no account: for who has the right for every one."""
        needed = right or f"{model.replace('_', '.view_', 1)}"
        link = self._item(title, icon, model)
        return link | {"permission": lambda request: request.user.has_perm(needed)}

    def _count(self, item: Item, rows: QuerySet[Any]) -> None:
        if item["permission"](self.request):
            item["badge"] = number_of(rows)
