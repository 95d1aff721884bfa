"""The shipped roles: groups of Django's, each a set of permissions.

After every migrate they hold exactly what the table says; the staff site does not let anybody edit
them. Whoever wants another mix makes a group of their own beside them.
"""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.contrib.auth.models import Group, Permission
from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class Role(TextChoices):
    VIEWER = "viewer", _("Sees everything, changes nothing")
    AGENT = "agent", _("Requests refunds and writes notes")
    APPROVER = "approver", _("Approves refunds and writes notes")
    MANAGER = (
        "manager",
        _("Requests and approves refunds, pulls transactions, edits reasons and limits"),
    )
    ADMIN = "admin", _("Everything, people and processor accounts included")
    AUDITOR = "auditor", _("Sees everything, the audit log included, and changes nothing")


_VIEW = {
    "campaigns.view_campaign",
    "gateways.view_processoraccount",
    "transactions.view_customer",
    "transactions.view_note",
    "transactions.view_syncstate",
    "transactions.view_transaction",
    "refunds.view_approvalrule",
    "refunds.view_attention",
    "refunds.view_reconciliation",
    "refunds.view_refund",
    "refunds.view_refundattempt",
    "refunds.view_refundevent",
    "refunds.view_refundreason",
    "refunds.view_ruling",
    "refunds.view_webhookevent",
}
# Who works on the payments may take them along.
_WORK = {
    "transactions.add_note",
    "transactions.export_transaction",
    "transactions.change_customer",
    "transactions.add_exchange",
    "transactions.delete_exchange",
}
_REQUEST = {"refunds.request_refund"}
_APPROVE = {"refunds.approve_refund"}
_MANAGE = {
    "campaigns.add_campaign",
    "refunds.process_webhook",
    "transactions.mark_customer",
    "transactions.merge_customer",
    "transactions.share_savedview",
    "transactions.sync_transaction",
    "refunds.add_approvalrule",
    "refunds.add_refundreason",
    "refunds.change_refundreason",
}
_AUDIT = {"audit.view_auditentry", "audit.export_auditentry"}
_SEE_PEOPLE = {"auth.view_user", "auth.view_group", "access.view_apitoken"}
_ADMINISTER = {
    "gateways.add_processoraccount",
    "gateways.change_processoraccount",
    *_SEE_PEOPLE,
    "access.change_apitoken",
    *(f"auth.{verb}_{noun}" for verb in ("add", "change") for noun in ("user", "group")),
    "auth.delete_group",
    "refunds.delete_refundreason",
    "transactions.erase_customer",
}

PERMISSIONS: dict[Role, set[str]] = {
    Role.VIEWER: _VIEW,
    Role.AGENT: _VIEW | _WORK | _REQUEST,
    Role.APPROVER: _VIEW | _WORK | _APPROVE,
    Role.MANAGER: _VIEW | _WORK | _REQUEST | _APPROVE | _MANAGE,
    Role.ADMIN: _VIEW | _WORK | _REQUEST | _APPROVE | _MANAGE | _ADMINISTER | _AUDIT,
    Role.AUDITOR: _VIEW | _SEE_PEOPLE | _AUDIT,
}


def create_roles(sender: AppConfig, **_kwargs: Any) -> None:
    """Give every role its permissions of one app, whose permissions exist by now (post_migrate)."""
    app = sender.label
    wanted = {
        role: {name.partition(".")[2] for name in names if name.startswith(f"{app}.")}
        for role, names in PERMISSIONS.items()
    }
    if not any(wanted.values()):
        return
    known = {
        permission.codename: permission
        for permission in Permission.objects.filter(content_type__app_label=app)
    }
    for role, codenames in wanted.items():
        group, _created = Group.objects.get_or_create(name=role.value)
        ours = {known[codename] for codename in codenames}
        held = set(group.permissions.filter(content_type__app_label=app))
        group.permissions.remove(*(held - ours))
        group.permissions.add(*(ours - held))
