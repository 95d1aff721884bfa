"""Who may open or press what on the staff site, by role and account. A new address needs a row.

Every row is tried by every role: given for every account, for the account of the objects alone, and
for another account.
"""

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from access.models import AccountRole
from access.roles import Role
from campaigns.models import Campaign, CampaignItem, CampaignState, ItemState
from refunds.models import ApprovalRule, AuditLine, RefundReason, WebhookEvent, WebhookState
from refunds.steps import STEPS
from refunds.story import BUTTONS
from tests.pages import client_of
from tests.refunds.raw import rolled_back
from tests.rest import make_account, make_case, make_person, make_refund, make_transaction
from transactions.models import Customer

V, A, P, M, D = Role.VIEWER, Role.AGENT, Role.APPROVER, Role.MANAGER, Role.ADMIN
U = Role.AUDITOR
EVERYBODY = {V, A, P, M, D, U}
WORKING = {A, P, M, D}

# Name of the address → method, who may, and what who may is answered.
OF_ACCOUNTS: dict[str, tuple[str, set[Role], int]] = {
    "gateways_processoraccount_changelist": ("get", EVERYBODY, 200),
    "gateways_processoraccount_change": ("get", EVERYBODY, 200),
    "gateways_processoraccount_history": ("get", EVERYBODY, 200),
    "gateways_processoraccount_check_credentials": ("get", {D}, 200),
    "refunds_approvalrule_changelist": ("get", EVERYBODY, 200),
    "refunds_approvalrule_change": ("get", EVERYBODY, 200),
    "refunds_approvalrule_history": ("get", EVERYBODY, 200),
    "refunds_approvalrule_add": ("get", {M, D}, 200),
    "refunds_attention_changelist": ("get", EVERYBODY, 200),
    "refunds_attention_change": ("get", EVERYBODY, 200),
    "refunds_attention_history": ("get", EVERYBODY, 200),
    "refunds_auditline_changelist": ("get", {D, U}, 200),
    "refunds_auditline_change": ("get", {D, U}, 200),
    "refunds_auditline_history": ("get", {D, U}, 200),
    "refunds_auditline_export": ("get", {D, U}, 200),
    "refunds_webhookevent_changelist": ("get", EVERYBODY, 200),
    "refunds_webhookevent_change": ("get", EVERYBODY, 200),
    "refunds_webhookevent_history": ("get", EVERYBODY, 200),
    "refunds_webhookevent_process": ("post", {M, D}, 302),
    "transactions_transaction_changelist": ("get", EVERYBODY, 200),
    "transactions_transaction_columns": ("get", EVERYBODY, 200),
    "transactions_transaction_save_view": ("get", EVERYBODY, 200),
    "transactions_transaction_view_numbers": ("get", EVERYBODY, 200),
    "transactions_transaction_export": ("get", WORKING, 200),
    "transactions_transaction_pull": ("get", EVERYBODY, 200),
    "transactions_transaction_change": ("get", EVERYBODY, 200),
    "transactions_transaction_history": ("get", EVERYBODY, 200),
    "transactions_transaction_refund": ("get", {A, M, D}, 200),
    "transactions_transaction_reread": ("post", {M, D}, 302),
    "transactions_transaction_add_note": ("post", WORKING, 302),
    "transactions_transaction_exchange": ("post", WORKING, 302),
    "transactions_transaction_unlink": ("post", WORKING, 404),
    "transactions_customer_changelist": ("get", EVERYBODY, 200),
    "transactions_customer_change": ("get", EVERYBODY, 200),
    "transactions_customer_history": ("get", EVERYBODY, 200),
    "transactions_customer_edit": ("post", WORKING, 302),
    "refunds_refund_changelist": ("get", EVERYBODY, 200),
    "refunds_refund_approvals": ("get", EVERYBODY, 200),
    "refunds_refund_change": ("get", EVERYBODY, 200),
    "refunds_refund_history": ("get", EVERYBODY, 200),
    "refunds_refund_approve": ("post", {P, M, D}, 302),
    "refunds_refund_reject": ("post", {P, M, D}, 302),
    "refunds_refund_cancel": ("post", {P, M, D}, 302),
    "refunds_refund_hurry": ("post", {A, M, D}, 302),
    "refunds_refund_check": ("post", WORKING, 302),
    "refunds_refund_retry": ("post", {A, M, D}, 302),
    "campaigns_campaign_changelist": ("get", EVERYBODY, 200),
    "campaigns_campaign_change": ("get", EVERYBODY, 200),
    "campaigns_campaign_history": ("get", EVERYBODY, 200),
    "campaigns_campaign_result": ("get", WORKING, 200),
    "campaigns_campaign_new": ("get", {M, D}, 200),
    "campaigns_campaign_start": ("post", {P, M, D}, 302),
    "campaigns_campaign_pause": ("post", {P, M, D}, 302),
    "campaigns_campaign_go_on": ("post", {P, M, D}, 302),
    "campaigns_campaign_cancel": ("post", {P, M, D}, 302),
    "refunds_attention_ask_now": ("post", WORKING, 302),
    "refunds_attention_try_now": ("post", {A, M, D}, 302),
    "refunds_attention_approve": ("post", {P, M, D}, 200),
    "refunds_attention_reject": ("post", {P, M, D}, 200),
    "refunds_attention_confirm_happened": ("get", WORKING, 200),
    "refunds_attention_confirm_did_not": ("get", WORKING, 200),
    "refunds_attention_send_again": ("get", WORKING, 200),
    "refunds_attention_confirm_ruling": ("get", {P, M, D}, 200),
    "refunds_attention_reject_ruling": ("get", {P, M, D}, 200),
    "refunds_attention_process_webhook": ("post", {M, D}, 302),
    "refunds_attention_check_account": ("post", {D}, 302),
    "refunds_attention_let_go": ("get", {P, M, D}, 200),
    "refunds_attention_cancel": ("get", {P, M, D}, 200),
    "refunds_attention_count_as_ours": ("get", {P, M, D}, 200),
    "refunds_attention_accept": ("get", {P, M, D}, 200),
    "refunds_attention_take": ("post", WORKING, 302),
    "refunds_attention_hand_over": ("get", {P, M, D}, 200),
}
# What belongs to no account: a role for one account does not reach it.
OF_ALL: dict[str, tuple[str, set[Role], int]] = {
    "gateways_processoraccount_add": ("get", {D}, 200),
    "transactions_customer_merge": ("get", {M, D}, 200),
    "transactions_customer_part": ("post", {M, D}, 404),
    "transactions_customer_mark": ("post", {M, D}, 302),
    "transactions_customer_erase": ("get", {D}, 200),
    "refunds_refundreason_changelist": ("get", EVERYBODY, 200),
    "refunds_refundreason_add": ("get", {M, D}, 200),
    "refunds_refundreason_change": ("get", EVERYBODY, 200),
    "refunds_refundreason_history": ("get", EVERYBODY, 200),
    "refunds_refundreason_delete": ("get", {D}, 200),
    "auth_user_changelist": ("get", {D, U}, 200),
    "auth_user_add": ("get", {D}, 200),
    "auth_user_change": ("get", {D, U}, 200),
    "auth_user_history": ("get", {D, U}, 200),
    "auth_user_password_change": ("get", {D}, 200),
    "auth_group_changelist": ("get", {D, U}, 200),
    "auth_user_remove_second_factors": ("get", {D}, 200),
    "auth_group_add": ("get", {D}, 200),
    "auth_group_change": ("get", {D, U}, 200),
    "auth_group_history": ("get", {D, U}, 200),
    "access_apitoken_changelist": ("get", {D, U}, 200),
}
# Nobody may: money tables are read-only, people and tokens stay.
NOBODY = {
    *(
        f"{model}_{verb}"
        for model in (
            "refunds_attention", "refunds_webhookevent", "refunds_refund", "campaigns_campaign",
            "refunds_auditline",
            "transactions_transaction", "transactions_customer",
        )
        for verb in ("add", "delete")
    ),
    "gateways_processoraccount_delete", "refunds_approvalrule_delete", "auth_user_delete",
    "access_apitoken_add", "access_apitoken_delete",
}  # fmt: skip
# One's own, or open to everybody of staff.
OWN = {
    "me", "index", "login", "logout", "password_change", "password_change_done", "jsi18n",
    "app_list", "autocomplete", "search", "view_on_site", "transactions_transaction_delete_view",
    "auth_group_delete", "access_apitoken_change", "access_apitoken_history", "prove",
    "account_login", "mfa_authenticate", "openid_connect_login", "openid_connect_callback",
    "mfa_index", "mfa_activate_totp", "mfa_deactivate_totp", "mfa_view_recovery_codes",
    "mfa_generate_recovery_codes", "mfa_add_webauthn", "mfa_remove_webauthn",
    "end_other_sessions",
}  # fmt: skip
BODIES = {
    "transactions_transaction_add_note": {"text": "Hello."},
    "transactions_transaction_exchange": {"payment": "nothing"},
    "transactions_customer_edit": {"is_vip": "on"},
}


def names(resolver: URLResolver | None = None, prefix: str = "") -> set[str]:
    """The names of all addresses of the staff site."""
    found: set[str] = set()
    for pattern in (resolver or get_resolver()).url_patterns:
        if isinstance(pattern, URLResolver):
            found |= names(pattern, prefix + str(pattern.pattern))
        elif isinstance(pattern, URLPattern) and prefix.startswith("admin/") and pattern.name:
            found.add(pattern.name)
    return found


def test_every_address_has_a_row():
    rows = [set(OF_ACCOUNTS), set(OF_ALL), NOBODY, OWN]
    assert sum(map(len, rows)) == len(set().union(*rows))
    assert names() == set().union(*rows)
    assert {f"refunds_attention_{name}" for name in STEPS} <= set(OF_ACCOUNTS)
    assert {f"refunds_refund_{name}" for name in BUTTONS} <= set(OF_ACCOUNTS)


@pytest.fixture
def ours(db):
    return make_account("ours")


@pytest.fixture
def address_of(ours):
    """``address_of(name)``: of objects that belong to an account, asked for by somebody else."""
    customer = Customer.objects.create(email="payer@example.com")
    payment = make_transaction(ours, customer=customer)
    refund = make_refund(payment, 100)
    maker = make_person("manager")
    reason = RefundReason.objects.get(code="other")
    campaign = Campaign.objects.create(
        name="Outage", reason=reason, created_by=maker, state=CampaignState.READY,
        most_refunds=10, most_money=10_000_000,
    )  # fmt: skip
    CampaignItem.objects.create(
        campaign=campaign, transaction=payment, state=ItemState.INCLUDED, currency="USD",
        amount_minor=100, left_minor=9_900,
    )  # fmt: skip
    event = WebhookEvent.objects.create(
        account=ours, mode="test", event_id="evt_1", body_sha256=b"0" * 32,
        state=WebhookState.PROCESSED,
    )  # fmt: skip
    limit = ApprovalRule.objects.create(
        account=ours, currency="USD", value=1_000_000, made_by=maker
    )
    case = make_case(refund, "made_outside")
    line = AuditLine.objects.get(chain="refunds", sequence=1)
    objects = {
        "gateways_processoraccount": ours, "refunds_approvalrule": limit,
        "refunds_attention": case, "refunds_auditline": line, "refunds_webhookevent": event, "refunds_refund": refund,
        "transactions_transaction": payment, "transactions_customer": customer,
        "campaigns_campaign": campaign, "refunds_refundreason": reason, "auth_user": maker,
        "auth_group": Group.objects.create(name="own"),
    }  # fmt: skip

    def address_of(name: str) -> str:
        model = next((each for each in objects if name.startswith(f"{each}_")), "")
        row = objects.get(model)
        verb = name.removeprefix(f"{model}_")
        if name == "transactions_transaction_export":
            return reverse(f"admin:{name}", args=["csv"])
        if verb == "unlink":
            return reverse(f"admin:{name}", args=[row.pk, 1])
        if verb in _WITHOUT_OBJECT or row is None:
            return reverse(f"admin:{name}")
        return reverse(f"admin:{name}", args=[row.pk])

    return address_of


_WITHOUT_OBJECT = {
    "changelist", "add", "approvals", "export", "columns", "save_view", "view_numbers", "pull", "new",
}  # fmt: skip


# Django's own pages answer what is not there like this, whoever asks.
_GONE = {
    "gateways_processoraccount_change": 302,
    "gateways_processoraccount_history": 302,
    "gateways_processoraccount_check_credentials": 403,
    "refunds_approvalrule_change": 302,
    "refunds_approvalrule_history": 302,
}


def press(client: Client, name: str, address: str, method: str) -> int:
    """The answer; whatever was done is taken back."""
    with rolled_back():
        return getattr(client, method)(address, BODIES.get(name, {})).status_code


@pytest.mark.parametrize("name", sorted(OF_ACCOUNTS | OF_ALL))
def test_a_role_may_what_the_table_says(address_of, name):
    method, roles, status = (OF_ACCOUNTS | OF_ALL)[name]
    for role in Role:
        answer = press(client_of(make_person(role)), name, address_of(name), method)
        assert answer == (status if role in roles else 403), role


def in_account(role: Role, account) -> Client:
    """Somebody of staff who has the role for one account alone."""
    person = make_person(role)
    AccountRole.objects.create(user=person, role=person.groups.get(), account=account)
    person.groups.clear()
    return client_of(person)


@pytest.mark.parametrize("name", sorted(OF_ACCOUNTS | OF_ALL))
def test_a_role_for_the_account_may_the_same_there(address_of, ours, name):
    method, roles, status = (OF_ACCOUNTS | OF_ALL)[name]
    for role in Role:
        answer = press(in_account(role, ours), name, address_of(name), method)
        may = name in OF_ACCOUNTS and role in roles
        assert answer == (status if may else 403), role


@pytest.mark.parametrize("name", sorted(OF_ACCOUNTS))
def test_what_belongs_to_another_account_is_not_there(address_of, name):
    theirs = in_account(D, make_account("theirs"))
    address, (method, _roles, status) = address_of(name), OF_ACCOUNTS[name]
    if any(name.endswith(f"_{verb}") for verb in {*_WITHOUT_OBJECT, "export"}):
        with rolled_back():
            answer = getattr(theirs, method)(address)
            assert answer.status_code == status
            text = b"".join(answer) if answer.streaming else answer.content
            for told in (b"ours", b"payer@example.com", b"evt_1", b"Outage"):
                assert told not in text
    else:
        assert press(theirs, name, address, method) == _GONE.get(name, 404)
