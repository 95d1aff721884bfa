"""What moves money or rights asks for a proof that is minutes old."""

import pytest
from django.contrib.auth.models import Group
from rest_framework.test import APIClient

from gateways.models import ProcessorAccount
from refunds.models import ApprovalRule
from refunds.states import Status
from tests.decisions import decide
from tests.pages import client_of, visible
from tests.refunds.states import bring
from tests.rest import (
    assert_problem,
    make_account,
    make_case,
    make_person,
    make_refund,
    make_ruling,
    make_token,
    make_transaction,
)
from tests.rest import client_of as api_of
from transactions.models import Customer

from .doors import PASSWORD, PROVE, age

pytestmark = pytest.mark.django_db


@pytest.fixture
def stale():
    """A manager who signed in six minutes ago."""
    client = client_of(make_person("manager", email="stale@example.com"))
    age(client, proved_at=301)
    return client


@pytest.fixture
def stale_admin():
    client = client_of(make_person("admin", email="stale@example.com"))
    age(client, proved_at=301)
    return client


@pytest.fixture
def refund():
    """One that waits for approval."""
    ApprovalRule.objects.create(currency="USD", value=0, made_by=make_person("manager"))
    refund = make_refund(make_transaction(), 5_000)
    assert refund.status == Status.AWAITING_APPROVAL
    return refund


def asks(answer):
    return answer.status_code == 302 and answer["Location"].startswith(PROVE)


def test_approving_asks_and_then_does_it(stale, refund):
    approve = f"/admin/refunds/refund/{refund.pk}/approve/"
    page = f"/admin/refunds/refund/{refund.pk}/change/"
    question = stale.post(approve, headers={"Referer": f"http://testserver{page}"})
    assert asks(question)
    refund.refresh_from_db()
    assert refund.status == Status.AWAITING_APPROVAL
    answer = stale.post(question["Location"], {"password": "not a secret"})
    assert answer["Location"] == page
    assert "press the button again" in visible(stale.get(page))
    refund.refresh_from_db()
    assert refund.status == Status.AWAITING_APPROVAL, "it is not done by the way"
    decide(stale, refund, "approve")
    refund.refresh_from_db()
    assert refund.status == Status.QUEUED


def test_from_a_fragment_the_page_is_led(stale, refund):
    answer = stale.post(
        f"/admin/refunds/refund/{refund.pk}/approve/", headers={"HX-Request": "true"}
    )
    assert answer["HX-Redirect"].startswith(PROVE)


def test_who_has_just_signed_in_is_not_asked(refund):
    fresh = client_of(make_person("manager", email="fresh@example.com"))
    decide(fresh, refund, "approve")
    refund.refresh_from_db()
    assert refund.status == Status.QUEUED


@pytest.mark.parametrize("press", ["reject", "cancel"])
def test_what_keeps_money_here_does_not_ask(stale, refund, press):
    decide(stale, refund, press)
    refund.refresh_from_db()
    assert refund.status == Status.CANCELED


def test_the_case_of_an_approval_asks(stale, refund):
    case = make_case(refund, "not_approved")
    assert asks(stale.post(f"/admin/refunds/attention/{case.pk}/approve/"))
    refund.refresh_from_db()
    assert refund.status == Status.AWAITING_APPROVAL


@pytest.mark.parametrize(
    "step", ["confirm_happened", "confirm_did_not", "send_again", "confirm_ruling", "let_go"]
)
def test_decisions_about_cases_ask(stale, step):
    refund = bring(make_refund(make_transaction(), 500), Status.UNKNOWN)
    case = make_case(refund, "unknown_outcome")
    make_ruling(refund, "did_not", make_person("agent"))
    assert asks(stale.post(f"/admin/refunds/attention/{case.pk}/{step}/", {"evidence": "Seen."}))


def test_taking_a_case_does_not_ask(stale):
    refund = bring(make_refund(make_transaction(), 500), Status.UNKNOWN)
    case = make_case(refund, "unknown_outcome")
    assert not asks(stale.post(f"/admin/refunds/attention/{case.pk}/take/"))


@pytest.mark.parametrize("step", ["accept", "count_as_ours"])
def test_saying_what_was_made_outside_asks(stale, step):
    """Accepted as another refund it lets go what waited; counted as ours it calls that off."""
    case = make_case(make_refund(make_transaction(), 500), "made_outside")
    assert asks(stale.post(f"/admin/refunds/attention/{case.pk}/{step}/", {"note": "Seen."}))
    case.refresh_from_db()
    assert case.closed_at is None


def test_accepting_what_lets_nothing_go_does_not_ask(stale):
    case = make_case(make_refund(make_transaction(), 500), "over_refunded")
    stale.post(f"/admin/refunds/attention/{case.pk}/accept/", {"note": "Seen."})
    case.refresh_from_db()
    assert case.closed_at


def test_erasing_a_customer_asks(stale_admin):
    customer = Customer.objects.create(email="payer@example.com")
    address = f"/admin/transactions/customer/{customer.pk}/erase/"
    assert stale_admin.get(address).status_code == 200, "looking does not ask"
    assert asks(stale_admin.post(address, {"confirmed": "on"}))
    customer.refresh_from_db()
    assert customer.erased_at is None


def test_taking_the_mark_of_a_risky_customer_back_asks(stale_admin):
    customer = Customer.objects.create(email="payer@example.com", is_risky=True)
    assert asks(stale_admin.post(f"/admin/transactions/customer/{customer.pk}/mark/"))
    customer.refresh_from_db()
    assert customer.is_risky


def test_starting_a_campaign_asks(stale):
    from campaigns.models import Campaign, CampaignState
    from refunds.models import RefundReason

    campaign = Campaign.objects.create(
        name="Outage", reason=RefundReason.objects.get(code="other"),
        created_by=make_person("manager"), state=CampaignState.READY, most_refunds=1,
        most_money=1, is_settled=True,
    )  # fmt: skip
    assert asks(stale.post(f"/admin/campaigns/campaign/{campaign.pk}/start/"))
    assert not asks(stale.post(f"/admin/campaigns/campaign/{campaign.pk}/cancel/"))


def test_people_groups_tokens_accounts_and_limits_ask(stale_admin):
    person, account = make_person("agent"), make_account("shop")
    token, _key = make_token(person)
    group = Group.objects.create(name="own")
    forms = {
        "auth/user/add/": {"username": "new", "password1": "", "password2": ""},
        f"auth/user/{person.pk}/change/": {"username": "taken"},
        f"auth/user/{person.pk}/password/": {"password1": "x", "password2": "x"},
        f"auth/user/{person.pk}/remove-second-factors": {},
        "auth/group/add/": {"name": "another"},
        f"auth/group/{group.pk}/delete/": {"post": "yes"},
        "access/apitoken/": {"action": "revoke", "_selected_action": [token.pk]},
        "gateways/processoraccount/add/": {"slug": "new"},
        f"gateways/processoraccount/{account.pk}/change/": {"is_active": ""},
        "refunds/approvalrule/add/": {"kind": "payment", "currency": "EUR", "above": "5"},
    }
    for address, values in forms.items():
        path = f"/admin/{address}"
        if "remove" in address:
            from django.urls import reverse

            path = reverse("admin:auth_user_remove_second_factors", args=[person.pk])
        assert asks(stale_admin.post(path, values)), address
    token.refresh_from_db()
    assert token.revoked_at is None
    assert ProcessorAccount.objects.get().is_active
    assert Group.objects.filter(name="own").exists()
    for address in ("auth/user/", f"auth/user/{person.pk}/change/", "gateways/processoraccount/"):
        assert stale_admin.get(f"/admin/{address}").status_code == 200, "looking does not ask"


NEW = [
    "auth/user/add/", "auth/group/add/", "gateways/processoraccount/add/",
    "refunds/approvalrule/add/", "auth/user/{person}/password/",
]  # fmt: skip


@pytest.mark.parametrize("address", NEW)
@pytest.mark.parametrize("older", [301, 151])
def test_a_form_asks_before_it_is_filled_in(address, older):
    """Also where the proof would not last until it is sent: what was typed would be lost."""
    client = client_of(make_person("admin"))
    address = f"/admin/{address.format(person=make_person('agent').pk)}"
    assert client.get(address).status_code == 200
    age(client, proved_at=older)
    question = client.get(address)
    assert asks(question)
    form = client.post(question["Location"], {"password": PASSWORD}, follow=True)
    assert form.redirect_chain == [(address, 302)]
    assert "Nothing was done yet" not in visible(form)
    assert 'name="csrfmiddlewaretoken"' in form.content.decode()


def test_a_form_that_was_opened_in_time_is_sent_with_an_old_proof():
    client = client_of(make_person("admin"))
    age(client, proved_at=151)
    assert client.post("/admin/auth/group/add/", {"name": "own"}).status_code == 302
    assert Group.objects.filter(name="own").exists()


@pytest.mark.parametrize("address", NEW)
def test_who_may_not_add_is_not_asked(address):
    client = client_of(make_person("agent"))
    age(client, proved_at=301)
    address = f"/admin/{address.format(person=make_person('agent').pk)}"
    assert client.get(address).status_code == 403


def test_how_long_a_proof_holds_is_set(stale, refund, settings):
    settings.STEP_UP_SECONDS = 600
    decide(stale, refund, "approve")
    refund.refresh_from_db()
    assert refund.status == Status.QUEUED


def test_the_proof_of_one_session_is_not_that_of_another(stale, refund):
    """Somebody else's browser, or one's own at another place, proves nothing for this one."""
    client_of(make_person("manager", email="other@example.com"))
    assert asks(stale.post(f"/admin/refunds/refund/{refund.pk}/approve/"))


def test_the_api_asks_sessions_and_not_tokens(refund):
    address = f"/api/v1/refunds/{refund.pk}/approve/"
    client = APIClient()
    client.force_login(make_person("manager", email="session@example.com"))
    age(client, proved_at=301)
    problem = assert_problem(client.post(address), 403, "proof_needed")
    assert "only minutes old" in problem["detail"]
    assert client.get("/api/v1/refunds/").status_code == 200
    assert api_of("manager").post(address).status_code == 200


def test_the_api_takes_a_fresh_session(refund):
    client = APIClient()
    client.force_login(make_person("manager", email="session@example.com"))
    assert client.post(f"/api/v1/refunds/{refund.pk}/approve/").status_code == 200


@pytest.mark.parametrize("action", ["accept", "count_as_ours"])
def test_the_api_asks_sessions_what_was_made_outside(action):
    case = make_case(make_refund(make_transaction(), 500), "made_outside")
    client = APIClient()
    client.force_login(make_person("manager", email="session@example.com"))
    age(client, proved_at=301)
    assert_problem(client.post(f"/api/v1/attention/{case.pk}/{action}/"), 403, "proof_needed")
    case.refresh_from_db()
    assert case.closed_at is None


def test_over_the_api_a_token_accepts_what_was_made_outside():
    case = make_case(make_refund(make_transaction(), 500), "made_outside")
    answer = api_of("manager").post(f"/api/v1/attention/{case.pk}/accept/", {"note": "Seen."})
    assert answer.status_code == 200, answer.content
