"""The page of a case: what is known of it, and what may be done."""

import re
from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from refunds.attention import close_cases, raise_case
from refunds.models import Attention, AttentionKind, Refund, RefundEvent
from refunds.recovery import hold_accounts
from refunds.states import Status
from tests.pages import client_of, visible
from tests.refunds.states import add_attempt, bring
from tests.rest import make_account, make_case, make_person, make_refund, make_transaction

from .cases import INBOX, make_unknown, page_of, step_of

pytestmark = pytest.mark.django_db

K = AttentionKind


class TestPage:
    def test_an_unknown_outcome_shows_what_was_asked_and_what_may_be_done(self, browser, agent):
        case = make_unknown(agent, customer_name="Ana Popescu")
        text = visible(browser.get(page_of(case)))
        for expected in (
            "Nobody knows what became of it.", "25.00 USD", "Ana Popescu", "Ana Lup", "once",
            case.refund.attempts.get().reference, "The answer broke off.", "No clear answer",
            "Ask the processor now", "It was made", "It was not made", "Send it again",
            "A second person has to confirm it", "Not possible now.",
            "Put before a person", "Requested",
        ):  # fmt: skip
            assert expected in text, expected

    def test_its_heading_is_short_and_never_cut(self, browser, agent):
        case = make_unknown(agent)
        html = browser.get(page_of(case)).content.decode()
        [heading] = re.findall(r"<h1.*?</h1>", html, re.DOTALL)
        words = re.sub(r"<[^>]+>|\s+", " ", heading)
        assert "Outcome unknown" in words
        assert case.reason not in words
        assert "truncate" not in heading

    def test_a_press_is_a_form_and_what_asks_first_is_a_link(self, browser, agent):
        case = make_unknown(agent, hours=30)
        html = browser.get(page_of(case)).content.decode()
        assert f'<form method="post" action="{step_of(case, "ask_now")}"' in html
        for action in ("confirm_happened", "confirm_did_not", "hand_over"):
            assert f'href="{step_of(case, action)}"' in html
        assert 'disabled aria-describedby="why-not-send_again"' in html

    def test_who_may_only_look_has_no_button(self, agent):
        case = make_unknown(agent)
        html = client_of(make_person("viewer")).get(page_of(case)).content.decode()
        for action in ("confirm_happened", "send_again", "take", "hand_over", "accept"):
            assert step_of(case, action) not in html

    def test_every_kind_has_its_page(self, second, agent):
        for kind in AttentionKind:
            refund = bring(make_refund(make_transaction(), 1000, agent), Status.SUCCEEDED)
            response = second.get(page_of(make_case(refund, kind, "Look.")))
            assert response.status_code == 200
            assert str(kind.label) in visible(response)

    def test_a_case_about_an_account_names_why_it_stopped(self, second):
        account = make_account(paused_reason="The key was revoked.")
        raise_case(K.ACCOUNT_PAUSED, f"account:{account.pk}", "Paused.", account=account)
        text = visible(second.get(page_of(Attention.objects.get())))
        assert "The key was revoked." in text
        assert account.slug in text

    def test_an_administrator_mends_the_credentials_of_a_paused_account(self, second):
        account = make_account(paused_reason="The key was revoked.")
        raise_case(K.ACCOUNT_PAUSED, f"account:{account.pk}", "Paused.", account=account)
        address = page_of(Attention.objects.get())
        text = visible(second.get(address))
        assert "when an administrator has entered credentials that Stripe accepts" in text
        assert "Ask an administrator to enter working credentials." in text
        assert "Hand it over to somebody" not in text
        admin = client_of(make_person("admin")).get(address)
        assert "Enter working credentials" in visible(admin)
        page = f'href="/admin/gateways/processoraccount/{account.pk}/change/" class="button"'
        assert page in admin.content.decode()
        assert "Ask an administrator" not in visible(admin)

    @pytest.mark.parametrize("role", ["approver", "admin", "viewer"])
    def test_a_hold_says_what_frees_the_account(self, role):
        account = make_account("stripe-main")
        hold_accounts(datetime(2026, 7, 1, 2, tzinfo=UTC))
        case = Attention.objects.get(account=account)
        text = visible(client_of(make_person(role)).get(page_of(case)))
        for expected in (
            "everything since 1 Jul 2026, 02:00 UTC has been compared with Stripe",
            "Refund Desk does so every hour", "or later",
            "can have it done at that time: manage.py recover", "Account held",
        ):  # fmt: skip
            assert expected in text, expected
        for wrong in (
            "Hand it over to somebody", "works again", "Check the credentials", "Account paused",
        ):  # fmt: skip
            assert wrong not in text, wrong

    def test_a_hold_whose_credentials_are_rejected_needs_both(self, second):
        account = make_account(paused_reason="The key was revoked.")
        hold_accounts(datetime(2026, 7, 1, 2, tzinfo=UTC))
        text = visible(second.get(page_of(Attention.objects.get(account=account))))
        assert "Its credentials have to be accepted first: The key was revoked." in text

    def test_the_processors_words_stand_where_they_are_evidence(self, second, agent):
        said = "Your card <has> expired."
        refund = make_refund(make_transaction(), 2500, agent)
        words = {"processor_code": "expired_card", "processor_message": said}
        add_attempt(refund, "declined", **words)
        refund = bring(
            refund, Status.FAILED, "refused", failure_code="too_old",
            failure_processor_code="expired_card", failure_message=said,
        )  # fmt: skip
        RefundEvent.objects.create(refund=refund, kind="refused", data={"why": said})
        case = make_case(refund, K.OVER_REFUNDED)
        text = visible(second.get(page_of(case)))
        assert text.count(said) == 1
        assert f"Stripe said: expired_card {said}" in text
        assert "older than the processor's limit" in text
        assert "Refused by the processor" in text

    def test_what_no_attempt_shows_stands_in_the_explanation(self, second, agent):
        refund = make_refund(make_transaction(), 2500, agent)
        bring(refund, Status.FAILED, failure_code="not_made", failure_message="Two people said so.")
        case = make_case(refund, K.OVER_REFUNDED)
        assert visible(second.get(page_of(case))).count("Two people said so.") == 1

    def test_evidence_is_told_in_words(self, second):
        account = make_account()
        raise_case(
            K.UNPLACED, "outside:1", "A refund of an unknown payment.", account=account,
            evidence={
                "amount": "10.00 USD", "made_at": "2026-03-01T12:00:00+00:00",
                "likely": [{"refund": "re_1", "amount": "10.00 USD"}], "card": "<4242>",
            },
        )  # fmt: skip
        text = visible(second.get(page_of(Attention.objects.get())))
        assert "Amount 10.00 USD" in text
        assert "Made at 1 Mar 2026, 12:00" in text
        assert "Likely Amount: 10.00 USD, Refund: re_1" in text
        assert "<4242>" in text

    def test_a_settled_case_says_how_and_offers_nothing(self, second, agent):
        case = make_unknown(agent)
        with_answer = Refund.objects.get(pk=case.refund_id)
        close_cases(with_answer, {K.UNKNOWN_OUTCOME}, "Found at the processor.")
        text = visible(second.get(page_of(case)))
        assert "Settled" in text
        assert "Found at the processor." in text
        assert "closed by the facts" in text
        assert "What you can do" not in text

    def test_a_part_of_it(self, browser, agent):
        case = make_unknown(agent)
        html = browser.get(f"{page_of(case)}?fragment=case").content.decode().strip()
        assert html.startswith('<section id="case"')
        assert "load delay" in html

    def test_what_it_costs_does_not_depend_on_the_attempts(self, browser, agent):
        def queries():
            with CaptureQueriesContext(connection) as captured:
                browser.get(page_of(case))
            return len(captured)

        case = make_unknown(agent)
        queries()
        one = queries()
        for number in (2, 3):
            add_attempt(case.refund, "not_sent", number)
        assert queries() == one <= 27

    @pytest.mark.parametrize("number", ["0", "abc", "9" * 30, "%00"])
    def test_a_case_that_is_none_is_not_found(self, browser, number):
        assert browser.get(f"{INBOX}{number}/change/").status_code in (400, 404)
