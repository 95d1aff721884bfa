"""The staff site's front door and its sidebar."""

import pytest
from django.contrib.auth.models import Permission, User

from campaigns.models import Campaign, CampaignState
from refunds.models import RefundReason
from refunds_site.unfold import navigation
from tests.pages import client_of, visible
from tests.rest import make_person, make_transaction

pytestmark = pytest.mark.django_db

LIST = "/admin/transactions/transaction/"


def test_it_opens_on_what_needs_the_person():
    assert "Needs you" in visible(client_of(make_person("viewer")).get("/admin/"))


def test_who_sees_payments_alone_gets_their_table():
    person = User.objects.create_user("accountant", is_staff=True)
    right = Permission.objects.get(codename="view_transaction")
    person.user_permissions.add(right)
    assert client_of(person).get("/admin/")["Location"] == LIST


def test_who_may_see_none_gets_an_overview_of_what_is_theirs():
    stranger = client_of(User.objects.create_user("stranger", is_staff=True))
    assert stranger.get("/admin/").status_code == 200


@pytest.mark.parametrize(
    ("role", "seen", "hidden"),
    [
        ("viewer", ["Stripe", "NMI", "All refunds"], ["Refund reasons", "People"]),
        ("manager", ["Refund reasons", "Processor accounts"], ["People", "API tokens"]),
        ("admin", ["Refund reasons", "People", "Groups", "API tokens"], []),
    ],
)
def test_the_sidebar_leads_where_the_role_may_go(role, seen, hidden):
    client = client_of(make_person(role))
    text = visible(client.get(LIST))
    for words in seen:
        assert words in text
    for words in hidden:
        assert words not in text


def test_every_item_of_the_sidebar_leads_to_a_page():
    client = client_of(User.objects.create_superuser("root"))
    request = client.get(LIST).wsgi_request
    items = [item for group in navigation(request) for item in group["items"]]
    assert len(items) > 10
    for item in items:
        assert client.get(item["link"]).status_code == 200, item["link"]


@pytest.mark.parametrize(
    ("address", "marked"),
    [
        (LIST, "All"),
        (f"{LIST}?processor=nmi", "NMI"),
        (f"{LIST}?processor=nmi&account=", "NMI"),
        (f"{LIST}?processor=nmi&status=settled", "NMI"),
        ("/admin/refunds/refund/?status=failed", "Failed"),
        ("/admin/refunds/attention/", "Needs attention"),
        ("/admin/refunds/refund/?needs_attention=true", None),
        ("/admin/refunds/refund/?needs_attention=true&status=failed", None),
    ],
)
def test_the_item_of_the_list_that_is_shown_is_marked(address, marked):
    client = client_of(make_person("viewer"))
    request = client.get(address).wsgi_request
    active = [
        item["title"] for group in navigation(request) for item in group["items"] if item["active"]
    ]
    assert active == ([marked] if marked else [])


def test_the_login_page_leads_to_where_somebody_wanted_to_go(client):
    person = make_person("agent")
    page = make_transaction()
    wanted = f"{LIST}{page.pk}/change/"
    login = client.get(wanted)["Location"]
    assert "Refund Desk" in visible(client.get(login))
    values = {"username": person.username, "password": "not a secret", "next": wanted}
    assert client.post(login, values)["Location"] == wanted


@pytest.mark.parametrize(
    ("address", "status", "words"),
    [
        (f"{LIST}0/change/", 404, "There is nothing here"),
        (f"{LIST}add/", 403, "You may not do that"),
    ],
)
def test_errors_are_pages_of_ours(address, status, words):
    response = client_of(make_person("viewer")).get(address)
    assert response.status_code == status
    assert words in visible(response)


@pytest.mark.parametrize(
    "address",
    [
        "gateways/processoraccount/?processor__exact=a%00b",
        "gateways/processoraccount/?slug=%00",
        "auth/user/?username=%00",
        "refunds/refundreason/?code=%00",
    ],
)
def test_a_zero_byte_in_a_filter_is_a_bad_request(address):
    client = client_of(User.objects.create_superuser("root"))
    assert client.get(f"/admin/{address}").status_code == 400


def test_a_broken_page_says_what_to_do():
    client = client_of(make_person("viewer"))
    client.raise_request_exception = False
    from unittest.mock import patch

    with patch("transactions.admin.TransactionAdmin.build_rows", side_effect=RuntimeError):
        response = client.get(LIST)
    assert response.status_code == 500
    assert "look at the payment before you try again" in visible(response)


def test_a_campaign_that_waits_leads_whoever_may_start_it_there():
    maker, other = (make_person("manager", email=f"{name}@example.com") for name in ("a", "b"))
    Campaign.objects.create(
        name="Outage", reason=RefundReason.objects.get(code="other"), created_by=maker,
        state=CampaignState.READY, most_refunds=1, most_money=1, is_settled=True,
    )  # fmt: skip
    assert "Campaigns that wait for you to start them 1" in visible(client_of(other).get("/admin/"))
    for person in (maker, make_person("approver", email="A@example.com"), make_person("agent")):
        assert "wait for you to start" not in visible(client_of(person).get("/admin/"))
