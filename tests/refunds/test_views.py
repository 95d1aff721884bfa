"""The refund dialog: what it offers, what it says in advance, and what it refuses."""

import json
import uuid

import pytest

from refunds.models import Refund
from refunds.states import Origin
from tests.pages import client_of, visible
from tests.rest import make_account, make_person, make_refund, make_transaction

from .test_forms import REFUSED

pytestmark = pytest.mark.django_db

LIST = "/admin/transactions/transaction/"
HTMX = {"HX-Request": "true"}


def dialog_of(transaction):
    return f"{LIST}{transaction.pk}/refund/"


def page_of(transaction):
    return f"{LIST}{transaction.pk}/change/"


def filled(transaction, **changes):
    """The fields that a browser sends from an opened dialog."""
    return {
        "amount": "12.50",
        "reason": "goodwill",
        "note": "Sorry.",
        "token": str(uuid.uuid4()),
        "expected_refundable": transaction.refundable.major(),
    } | changes


@pytest.fixture
def person():
    return make_person("agent", first_name="Ana", last_name="Lup")


@pytest.fixture
def browser(person):
    return client_of(person)


@pytest.fixture
def transaction():
    return make_transaction(customer_name="Ana Popescu")


class TestDialog:
    def test_it_offers_what_is_left(self, browser, transaction):
        make_refund(transaction, 4000)
        response = browser.get(dialog_of(transaction), headers=HTMX)
        html = response.content.decode()
        assert 'name="amount" value="60.00"' in html
        assert 'name="expected_refundable" value="60.00"' in html
        assert 'inputmode="decimal"' in html
        text = visible(response)
        assert "Ana Popescu" in text
        assert "Left after this refund: 0.00 USD" in text
        assert "It is refunded now through Stripe." in text

    def test_it_says_what_it_costs_and_when_the_customer_sees_it(self, browser):
        account = make_account(fee_basis_points=290)
        response = browser.get(dialog_of(make_transaction(account)), headers=HTMX)
        assert "It costs about 2.90 USD" in visible(response)
        assert "The customer sees it in 5 to 10 business days." in visible(response)

    def test_each_opened_dialog_has_a_key_of_its_own(self, browser, transaction):
        tokens = {browser.get(dialog_of(transaction)).context["token"] for _ in range(2)}
        assert len(tokens) == 2

    def test_without_htmx_it_is_a_page(self, browser, transaction):
        response = browser.get(dialog_of(transaction))
        html = response.content.decode()
        assert "<html" in html
        assert f'<form method="post" action="{dialog_of(transaction)}"' in html
        assert "hx-post" not in html.split("<form method")[1].split(">")[0]

    @pytest.mark.parametrize(
        ("fields", "sentence"),
        [
            ({"disputed": True}, "disputed this payment"),
            ({"status": "authorized"}, "only authorized"),
            ({"status": "voided"}, "cancelled before it settled"),
            ({"status": "failed"}, "This payment failed"),
        ],
    )
    def test_it_says_why_nothing_can_be_refunded(self, browser, fields, sentence):
        transaction = make_transaction(**fields)
        response = browser.get(dialog_of(transaction), headers=HTMX)
        assert sentence in visible(response)
        assert "<form" not in response.content.decode()
        refused = browser.post(dialog_of(transaction), filled(make_transaction()), headers=HTMX)
        assert refused.status_code == 200
        assert sentence in visible(refused)
        assert not Refund.objects.exists()

    @pytest.mark.parametrize(
        ("processor", "amount", "sentence"),
        [
            ("authorizenet", "100.00", "cancelled whole"),
            ("authorizenet", "1.00", "refunds a part only after settlement"),
            ("stripe", "1.00", "refunded now through Stripe"),
            ("stripe", "100.01", "more than the 100.00 USD"),
            ("stripe", "abc", "with digits and a dot only"),
            ("stripe", "", "Enter an amount."),
        ],
    )
    def test_what_is_typed_is_told_in_advance(self, browser, processor, amount, sentence):
        transaction = make_transaction(make_account(processor=processor), status="captured")
        response = browser.get(
            dialog_of(transaction),
            {"amount": amount},
            headers=HTMX | {"HX-Target": "refund-preview"},
        )
        assert sentence in visible(response)
        assert "<form" not in response.content.decode()

    def test_a_step_that_the_processor_does_not_take_is_told(self, browser):
        account = make_account(processor="paypal")
        transaction = make_transaction(account, currency="HUF", amount_minor=500_000)
        response = browser.get(
            dialog_of(transaction),
            {"amount": "10.50"},
            headers=HTMX | {"HX-Target": "refund-preview"},
        )
        assert "only in steps of" in visible(response)


class TestRequest:
    def test_success_closes_the_dialog_and_names_what_changed(self, browser, person, transaction):
        response = browser.post(dialog_of(transaction), filled(transaction), headers=HTMX)
        assert response.status_code == 204
        event = json.loads(response["HX-Trigger"])["transaction-changed"]
        assert event["transaction"] == transaction.pk
        assert event["say"] == "The refund of 12.50 USD is on its way."
        refund = Refund.objects.get()
        assert (refund.amount_minor, refund.note, refund.reason_id) == (1250, "Sorry.", "goodwill")
        assert (refund.requested_by, refund.origin) == (person, Origin.STAFF)
        row = visible(browser.get(f"{page_of(transaction)}?fragment=row"))
        assert "Refund in progress" in row
        assert "87.50 USD" in row

    def test_words_for_the_customer_stand_apart_from_the_note(self, browser, transaction):
        values = filled(transaction, words="Sorry for the broken cup.")
        browser.post(dialog_of(transaction), values)
        refund = Refund.objects.get()
        assert (refund.words, refund.note) == ("Sorry for the broken cup.", "Sorry.")
        assert "For the customer: Sorry for the broken cup." in visible(
            browser.get(page_of(transaction))
        )

    def test_other_words_from_the_same_dialog_are_refused(self, browser, transaction):
        values = filled(transaction)
        browser.post(dialog_of(transaction), values)
        response = browser.post(dialog_of(transaction), values | {"words": "Sorry."}, headers=HTMX)
        assert "already requested from this form" in visible(response)

    @pytest.mark.parametrize("seconds", [0, 5])
    def test_while_it_can_be_undone_the_answer_says_how(
        self, browser, transaction, settings, seconds
    ):
        settings.UNDO_SECONDS = seconds
        response = browser.post(dialog_of(transaction), filled(transaction), headers=HTMX)
        event = json.loads(response["HX-Trigger"])["transaction-changed"]
        refund = Refund.objects.get()
        address = f"/admin/refunds/refund/{refund.pk}/cancel/"
        assert event["undo"] == (address if seconds else "")
        assert browser.post(address, headers=HTMX).status_code == 204

    def test_without_htmx_it_leads_to_the_page(self, browser, transaction):
        response = browser.post(dialog_of(transaction), filled(transaction), follow=True)
        assert response.redirect_chain == [(page_of(transaction), 302)]
        assert "The refund of 12.50 USD is on its way." in visible(response)

    def test_a_double_click_is_one_refund(self, browser, transaction):
        values = filled(transaction, amount="100.00")
        answers = [browser.post(dialog_of(transaction), values, headers=HTMX) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [204] * 3
        assert Refund.objects.count() == 1

    def test_the_same_dialog_for_another_amount_is_refused(self, browser, transaction):
        values = filled(transaction)
        browser.post(dialog_of(transaction), values)
        response = browser.post(dialog_of(transaction), values | {"amount": "13.00"}, headers=HTMX)
        assert "already requested from this form" in visible(response)
        assert Refund.objects.count() == 1

    @pytest.mark.parametrize("amount", REFUSED)
    def test_a_bad_amount_stays_where_it_was_typed(self, browser, transaction, amount):
        values = filled(transaction, amount=amount)
        response = browser.post(dialog_of(transaction), values, headers=HTMX)
        assert response.status_code == 200
        assert response.context["typed"] == amount
        assert response.context["form"].errors["amount"]
        assert values["token"] in response.content.decode()
        assert 'aria-invalid="true"' in response.content.decode()
        assert not Refund.objects.exists()

    def test_more_than_is_left_is_refused(self, browser, transaction):
        values = filled(transaction, amount="100.01")
        response = browser.post(dialog_of(transaction), values, headers=HTMX)
        [error] = response.context["form"].errors["amount"]
        assert "100.00 USD" in error
        assert not Refund.objects.exists()

    def test_a_balance_that_changed_is_shown_anew(self, browser, transaction):
        values = filled(transaction)
        make_refund(transaction, 5000)
        response = browser.post(dialog_of(transaction), values, headers=HTMX)
        assert "has changed to 50.00 USD" in visible(response)
        assert 'name="expected_refundable" value="50.00"' in response.content.decode()
        assert Refund.objects.count() == 1
        again = browser.post(
            dialog_of(transaction), values | {"expected_refundable": "50.00"}, headers=HTMX
        )
        assert again.status_code == 204

    def test_a_paused_account_says_so(self, browser):
        transaction = make_transaction(make_account(paused_reason="The key was revoked."))
        response = browser.post(dialog_of(transaction), filled(transaction), headers=HTMX)
        assert "The key was revoked." in visible(response)

    def test_a_paused_account_says_so_before_anything_is_typed(self, browser):
        transaction = make_transaction(make_account(paused_reason="The key was revoked."))
        text = visible(browser.get(dialog_of(transaction), headers=HTMX))
        assert "The key was revoked." in text
        assert "It is refunded now" not in text

    def test_a_held_account_says_that_the_refund_waits(self, browser):
        transaction = make_transaction(make_account(held_reason="It was restored."))
        text = visible(browser.get(dialog_of(transaction), headers=HTMX))
        assert "It is refunded now" not in text
        assert "It waits, and goes out by itself" in text
        assert "It was restored." in text
        response = browser.post(dialog_of(transaction), filled(transaction), headers=HTMX)
        said = json.loads(response["HX-Trigger"])["transaction-changed"]["say"]
        assert said.startswith("The refund of ")
        assert "It was restored." in said

    def test_everything_is_checked_at_once_and_nothing_is_lost(self, browser, transaction):
        values = filled(transaction, amount="1,5", reason="", note="4242424242424242")
        response = browser.post(dialog_of(transaction), values, headers=HTMX)
        assert set(response.context["form"].errors) == {"amount", "reason", "note"}
        assert "4242424242424242" in response.content.decode()

    def test_who_may_not_has_no_button_and_is_refused(self, transaction):
        for role in ("viewer", "approver"):
            client = client_of(make_person(role))
            for address in (LIST, page_of(transaction)):
                assert dialog_of(transaction) not in client.get(address).content.decode()
            assert client.get(dialog_of(transaction)).status_code == 403
            answer = client.post(dialog_of(transaction), filled(transaction))
            assert answer.status_code == 403
        assert not Refund.objects.exists()

    def test_a_foreign_site_cannot_post(self, person, transaction):
        client = client_of(person, enforce_csrf_checks=True)
        assert client.post(dialog_of(transaction), filled(transaction)).status_code == 403

    def test_who_is_not_signed_in_refunds_nothing(self, client, transaction):
        answer = client.post(dialog_of(transaction), filled(transaction))
        assert answer["Location"].startswith("/admin/login/")
        assert not Refund.objects.exists()
