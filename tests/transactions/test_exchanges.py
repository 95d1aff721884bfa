"""The payment for what a customer got in exchange, linked with the one that is given back."""

import pytest
from django.contrib.auth.models import Permission, User

from tests.audit.lines import told
from tests.pages import client_of, visible
from tests.refunds.raw import triggers_off
from tests.rest import make_account, make_person, make_transaction
from transactions.exchanges import NotLinked, link, of, unlink
from transactions.models import Exchange, Transaction

pytestmark = pytest.mark.django_db

LIST = "/admin/transactions/transaction/"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def person():
    return make_person("agent", first_name="Ana", last_name="Lup")


@pytest.fixture
def original():
    return make_transaction(external_id="ch_original", customer_name="Maria Santos")


@pytest.fixture
def replacement():
    return make_transaction(
        external_id="90017", related_ids="pi_new", order_reference="R-1002",
        customer_name="Maria Santos",
    )  # fmt: skip


@pytest.mark.parametrize("text", ["90017", " 90017 ", "R-1002", "pi_new"])
def test_the_payment_is_found_by_what_names_it_alone(original, replacement, person, text):
    exchange = link(original, text, actor=person)
    assert (exchange.original, exchange.replacement) == (original, replacement)
    assert (exchange.linked_by, list(of(original)), list(of(replacement))) == (
        person, [exchange], [exchange],
    )  # fmt: skip


def test_our_own_number_names_it_too(original, replacement, person):
    assert link(original, str(replacement.pk), actor=person).replacement == replacement


def test_an_id_counts_before_an_order_that_only_holds_it(original, replacement, person):
    make_transaction(order_reference="R-10020")
    assert link(original, "R-1002", actor=person).replacement == replacement


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Enter the id or the order"),
        ("  ", "Enter the id or the order"),
        ("\x00\u202e", "Enter the id or the order"),
        ("ch_original", "No other payment matches"),
        ("no such", "No other payment matches"),
        ("9" * 400, "No other payment matches"),
        ("Maria", "Several payments match"),
        ("live-1", "No other payment matches"),
    ],
)
def test_what_names_none_or_several_is_refused(original, replacement, person, text, why):
    make_transaction(customer_name="Maria Lopez")
    live = make_transaction(make_account(), external_id="live-1")
    with triggers_off():
        Transaction.objects.filter(pk=live.pk).update(mode="live")
    with pytest.raises(NotLinked, match=why):
        link(original, text, actor=person)
    assert not Exchange.objects.exists()


def test_linking_twice_is_told(original, replacement, person):
    link(original, "90017", actor=person)
    with pytest.raises(NotLinked, match="linked already"):
        link(original, "90017", actor=person)


class TestPage:
    def test_both_pages_tell_of_it(self, original, replacement, person):
        link(original, "90017", actor=person)
        browser = client_of(person)
        page = visible(browser.get(f"{LIST}{original.pk}/change/"))
        assert "Exchanged for 90017 100.00 USD" in page
        assert "Exchanged for another payment" in page
        page = visible(browser.get(f"{LIST}{replacement.pk}/change/"))
        assert "Replaces ch_original" in page
        assert "Replaces another payment" in page

    def test_it_is_linked_and_unlinked_by_a_press(self, original, replacement, person):
        browser = client_of(person)
        address = f"{LIST}{original.pk}/exchange/"
        answer = browser.post(address, {"payment": "90017"}, headers=HTMX)
        assert "Linked with the payment 90017." in answer["HX-Trigger"]
        assert "Exchanged for 90017" in visible(answer)
        [exchange] = of(original)
        answer = browser.post(f"{address}{exchange.pk}/unlink/", headers=HTMX)
        assert "90017" not in visible(answer)
        assert not of(original).exists()
        assert browser.post(f"{address}{exchange.pk}/unlink/").status_code == 404

    def test_without_htmx_it_leads_to_the_page(self, original, replacement, person):
        browser = client_of(person)
        address = f"{LIST}{original.pk}/exchange/"
        answer = browser.post(address, {"payment": "no such"}, follow=True)
        assert "No other payment matches “no such”" in visible(answer)
        answer = browser.post(address, {"payment": "90017"}, follow=True)
        assert "Linked with the payment 90017." in visible(answer)

    def test_a_refusal_is_said_in_its_place(self, original, person):
        answer = client_of(person).post(f"{LIST}{original.pk}/exchange/", {}, headers=HTMX)
        assert answer.status_code == 204
        assert '"failed": true' in answer["HX-Trigger"]

    @pytest.mark.parametrize("card", ["4242 4242 4242 4242", "order 5555-5555-5555-4444"])
    def test_a_card_number_is_refused_as_one(self, original, person, card):
        for number in range(2):
            make_transaction(external_id=f"ch_{number}", last4="4242", customer_name=card)
        address = f"{LIST}{original.pk}/exchange/"
        answer = client_of(person).post(address, {"payment": card}, headers=HTMX)
        assert "This looks like a card number." in answer["HX-Trigger"]
        assert card not in answer["HX-Trigger"]

    def test_who_may_not_is_refused(self, original, replacement, person):
        exchange = link(original, "90017", actor=person)
        viewer = client_of(make_person("viewer"))
        address = f"{LIST}{original.pk}/exchange/"
        assert viewer.post(address, {"payment": "90017"}).status_code == 403
        assert viewer.post(f"{address}{exchange.pk}/unlink/").status_code == 403
        html = viewer.get(f"{LIST}{original.pk}/change/").content.decode()
        assert "exchange-payment" not in html
        assert Exchange.objects.count() == 1

    def test_who_may_not_see_payments_sees_nothing(self, original):
        someone = User.objects.create_user("someone", is_staff=True)
        someone.user_permissions.add(Permission.objects.get(codename="add_exchange"))
        answer = client_of(someone).post(f"{LIST}{original.pk}/exchange/", {"payment": "x"})
        assert answer.status_code == 403


def test_the_audit_log_tells_of_links(original, replacement, person):
    exchange = link(original, replacement.external_id, actor=person)
    with pytest.raises(NotLinked):
        link(original, replacement.external_id, actor=person)
    unlink(exchange, actor=person)
    data = {"replacement": replacement.external_id, "replacement_id": replacement.pk}
    assert told() == [
        (kind, person.username, original.external_id, data)
        for kind in ("exchange.added", "exchange.deleted")
    ]
