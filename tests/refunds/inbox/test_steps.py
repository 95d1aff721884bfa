"""The list of what needs a person, the page of a case, and what is done from there."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from refunds import rulings
from refunds.attention import flag, raise_case
from refunds.inbox import count_open_cases
from refunds.models import Attention, AttentionKind, Refund, Ruling, Verdict
from refunds.states import Status
from tests.pages import client_of, visible
from tests.refunds.states import add_attempt, bring
from tests.rest import make_account, make_person, make_refund, make_transaction
from transactions.models import Transaction

pytestmark = pytest.mark.django_db

INBOX = "/admin/refunds/attention/"
HTMX = {"HX-Request": "true"}
K = AttentionKind
SAW = "The list of refunds of 3 March at the processor ends without it."


def page_of(case):
    return f"{INBOX}{case.pk}/change/"


def step_of(case, action):
    return f"{INBOX}{case.pk}/{action}/"


@pytest.fixture
def agent():
    return make_person("agent", first_name="Ana", last_name="Lup")


@pytest.fixture
def approver():
    return make_person("approver", first_name="Ion", last_name="Rusu")


@pytest.fixture
def browser(agent):
    return client_of(agent)


@pytest.fixture
def second(approver):
    return client_of(approver)


def make_unknown(agent, *, processor="authorizenet", hours=0, **fields):
    """A refund of 25.00 whose answer was lost so many hours ago, and its case."""
    transaction = make_transaction(make_account(processor=processor), **fields)
    refund = bring(make_refund(transaction, 2500, agent), Status.UNKNOWN)
    sent = timezone.now() - timedelta(hours=hours)
    add_attempt(
        refund,
        "ambiguous",
        first_sent_at=sent,
        last_sent_at=sent,
        started_at=sent,
        processor_message="The answer broke off.",
    )
    return case_of(refund)


def case_of(refund, kind=K.UNKNOWN_OUTCOME, reason="Nobody knows what became of it."):
    flag(refund, kind, reason)
    return Attention.objects.get(refund=refund, kind=kind)


def raise_many(number, kind=K.DISPUTED, **fields):
    transaction = make_transaction(**fields)
    for each in range(number):
        raise_case(
            kind, f"{transaction.pk}:{each}", f"Case {each}.",
            account=transaction.account, transaction=transaction,
        )  # fmt: skip
    return transaction


class TestList:
    def shown(self, browser, query=""):
        return [case for case, _kind in browser.get(INBOX + query).context["cl"].rows]

    def test_it_tells_of_each_case_what_for_whom_and_since_when(self, browser, agent):
        case = make_unknown(agent, customer_name="Ana Popescu", external_id="777")
        raised = timezone.now() - timedelta(hours=3)
        Attention.objects.filter(pk=case.pk).update(raised_at=raised)
        text = visible(browser.get(INBOX))
        for expected in (
            "Outcome unknown", "Nobody knows what became of it.", "Ana Popescu", "777",
            "25.00 USD", "Authorize.net", "3 hours", "Ana Lup", "that is you",
        ):  # fmt: skip
            assert expected in text.replace("\xa0", " "), expected

    def test_the_one_that_waits_longest_is_first_and_pages_go_by_key(self, browser):
        raise_many(60)
        every = list(Attention.objects.order_by("raised_at", "pk"))
        first = browser.get(INBOX)
        second = browser.get(INBOX + first.context["cl"].newer_url)
        assert [*first.context["cl"].result_list, *second.context["cl"].result_list] == every
        back = browser.get(INBOX + second.context["cl"].older_url)
        assert back.context["cl"].result_list == every[:50]
        assert first.context["cl"].older_url == ""

    def test_its_filters(self, browser, agent):
        mine = make_unknown(agent)
        raise_many(1, K.MADE_OUTSIDE)
        nobodys = Attention.objects.get(kind=K.MADE_OUTSIDE)
        assert nobodys.owner is None
        assert self.shown(browser) == [mine, nobodys]
        assert self.shown(browser, "?owner=me") == [mine]
        assert self.shown(browser, "?owner=nobody") == [nobodys]
        assert self.shown(browser, "?kind=made_outside") == [nobodys]
        assert self.shown(browser, f"?account={mine.account.slug}") == [mine]
        assert self.shown(browser, "?settled=true") == []

    def test_it_finds_by_customer(self, browser, agent):
        case = make_unknown(agent, customer_name="Żółć")
        raise_many(1)
        assert self.shown(browser, "?q=żół") == [case]

    def test_settled_ones_are_shown_on_request_the_last_first(self, browser):
        raise_many(3)
        for case in Attention.objects.order_by("pk")[:2]:
            Attention.objects.filter(pk=case.pk).update(
                closed_at=timezone.now(), outcome=f"Done {case.pk}."
            )
        settled = self.shown(browser, "?settled=true")
        assert [case.pk for case in settled] == sorted((case.pk for case in settled), reverse=True)
        assert len(settled) == 2
        assert f"Done {settled[0].pk}." in visible(browser.get(f"{INBOX}?settled=true"))
        assert len(self.shown(browser)) == 1

    def test_what_it_costs_does_not_depend_on_the_cases(self, browser, agent):
        def queries():
            with CaptureQueriesContext(connection) as captured:
                browser.get(INBOX)
            return len(captured)

        make_unknown(agent)
        queries()
        one = queries()
        raise_many(30)
        for _ in range(3):
            make_unknown(agent)
        assert queries() == one <= 8

    def test_it_says_when_nothing_needs_anybody(self, browser):
        assert "Nothing needs you" in visible(browser.get(INBOX))
        assert "Nothing matches" in visible(browser.get(f"{INBOX}?kind=disputed"))

    def test_only_who_may_see_cases_sees_them(self, agent):
        case = make_unknown(agent)
        agent.groups.clear()
        client = client_of(agent)
        for address in (INBOX, page_of(case), step_of(case, "take")):
            assert client.get(address).status_code == 403

    @pytest.mark.parametrize("query", ["", "?owner=me", "?kind=disputed", "?settled=true"])
    def test_every_list_walks_an_index(self, browser, agent, query):
        transaction = make_transaction()
        with connection.cursor() as cursor:
            cursor.execute(
                """INSERT INTO refunds_attention (kind, subject, account_id, transaction_id, reason,
                     evidence, owner_id, raised_at, closed_at, outcome)
                   SELECT 'disputed', n::text, %s, %s, 'Look.', '{}',
                     CASE WHEN n %% 10 = 0 THEN %s END,
                     now() - n * interval '1 minute',
                     CASE WHEN n > 2000 THEN now() - n * interval '1 second' END, ''
                   FROM generate_series(1, 20000) AS n""",
                [transaction.account_id, transaction.pk, agent.pk],
            )
            cursor.execute("ANALYZE refunds_attention")
        with CaptureQueriesContext(connection) as queries:
            assert browser.get(INBOX + query).status_code == 200
        [page] = [each["sql"] for each in queries if "LIMIT 51" in each["sql"]]
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {page}")
            plan = "\n".join(line for (line,) in cursor.fetchall())
        assert "attention_" in plan, plan
        assert "Seq Scan on refunds_attention" not in plan, plan


class TestSidebar:
    def test_it_counts_what_is_open_up_to_a_limit(self, browser):
        assert count_open_cases(99) == ""
        raise_many(3)
        assert count_open_cases(99) == "3"
        assert count_open_cases(2) == "2+"
        html = browser.get("/admin/refunds/refund/").content.decode()
        assert f'href="{INBOX}"' in html


class TestPage:
    def test_an_unknown_outcome_shows_what_was_asked_and_what_may_be_done(self, browser, agent):
        case = make_unknown(agent, customer_name="Ana Popescu")
        text = visible(browser.get(page_of(case)))
        for expected in (
            "Nobody knows what became of it.", "25.00 USD", "Ana Popescu", "Ana Lup", "once",
            case.refund.attempts.get().reference, "The answer broke off.", "No clear answer",
            "Ask the processor now", "It was made", "It was not made", "Send it again",
            "A second person has to confirm it", "Not possible yet.",
            "Put before a person", "Requested",
        ):  # fmt: skip
            assert expected in text, expected

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
            response = second.get(page_of(case_of(refund, kind, "Look.")))
            assert response.status_code == 200
            assert str(kind.label) in visible(response)

    def test_a_case_about_an_account_names_why_it_stopped(self, second):
        account = make_account(paused_reason="The key was revoked.")
        raise_case(K.ACCOUNT_PAUSED, f"account:{account.pk}", "Paused.", account=account)
        text = visible(second.get(page_of(Attention.objects.get())))
        assert "The key was revoked." in text
        assert account.slug in text

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
        from refunds.attention import close_cases

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
        assert queries() == one <= 25

    @pytest.mark.parametrize("number", ["0", "abc", "9" * 30, "%00"])
    def test_a_case_that_is_none_is_not_found(self, browser, number):
        assert browser.get(f"{INBOX}{number}/change/").status_code in (400, 404)


class TestRulings:
    def propose(self, client, case, action="confirm_did_not", **values):
        values = {"evidence": SAW} | values
        return client.post(step_of(case, action), values, headers=HTMX)

    def test_what_is_not_possible_yet_is_said_in_the_dialog_too(self, browser, agent):
        case = make_unknown(agent)
        response = browser.get(step_of(case, "send_again"), headers=HTMX)
        assert "Not possible yet." in visible(response)
        assert "<form" not in response.content.decode()

    def test_without_htmx_it_is_a_page_with_a_form(self, browser, agent):
        case = make_unknown(agent, hours=30)
        html = browser.get(step_of(case, "confirm_did_not")).content.decode()
        assert "<html" in html
        assert f'<form method="post" action="{step_of(case, "confirm_did_not")}"' in html
        assert "csrfmiddlewaretoken" in html
        assert 'aria-describedby="case-evidence-error case-evidence-help"' in html

    def test_two_people_settle_it(self, browser, second, agent, approver):
        case = make_unknown(agent, hours=30)
        response = self.propose(browser, case)
        assert response["HX-Redirect"] == INBOX
        assert "“It was not made” is proposed." in visible(browser.get(INBOX))
        ruling = Ruling.objects.get()
        assert (ruling.proposed_by, ruling.verdict) == (agent, Verdict.DID_NOT)

        own = visible(browser.get(page_of(case)))
        assert "You proposed it, so somebody else has to confirm it." in own
        page = visible(second.get(page_of(case)))
        for expected in (SAW, "Ana Lup", "will count as failed", "Confirm", "Reject"):
            assert expected in page, expected
        dialog = second.get(step_of(case, "confirm_ruling"), headers=HTMX)
        assert "25.00 USD can be refunded again" in visible(dialog)

        answer = second.post(step_of(case, "confirm_ruling"), {"ruling": ruling.pk}, follow=True)
        assert answer.redirect_chain == [(INBOX, 302)]
        assert "the refund of 25.00 USD counts as not made" in visible(answer)
        refund = Refund.objects.get(pk=case.refund_id)
        assert refund.status == Status.FAILED
        assert Transaction.objects.get(pk=refund.transaction_id).refundable_minor == 10_000
        assert Attention.objects.get(pk=case.pk).closed_at

    def test_a_double_click_is_one_ruling_and_no_error(self, browser, second, agent):
        case = make_unknown(agent, hours=30)
        for _ in range(2):
            assert self.propose(browser, case)["HX-Redirect"] == INBOX
        ruling = Ruling.objects.get()
        values = {"ruling": ruling.pk}
        for _ in range(2):
            answer = second.post(step_of(case, "confirm_ruling"), values, follow=True)
            assert "counts as not made" in visible(answer)
        assert Ruling.objects.filter(confirmed=True).count() == 1

    def test_somebody_elses_proposal_is_not_taken_for_ones_own(self, browser, second, agent):
        case = make_unknown(agent, hours=30)
        self.propose(browser, case)
        response = self.propose(second, case)
        assert response.status_code == 200
        assert "Somebody has proposed an outcome already" in visible(response)

    def test_who_proposed_does_not_confirm(self, agent):
        manager = make_person("manager")
        case = make_unknown(agent, hours=30)
        client = client_of(manager)
        self.propose(client, case)
        [ruling] = Ruling.objects.all()
        assert step_of(case, "confirm_ruling") not in client.get(page_of(case)).content.decode()
        answer = client.post(step_of(case, "confirm_ruling"), {"ruling": ruling.pk})
        assert answer.status_code == 403
        assert Refund.objects.get(pk=case.refund_id).status == Status.UNKNOWN

    def test_it_was_made_needs_the_id(self, browser, second, agent):
        case = make_unknown(agent)
        response = self.propose(browser, case, "confirm_happened")
        assert "Enter the id that the processor shows." in visible(response)
        response = self.propose(browser, case, "confirm_happened", processor_refund_id="a b")
        assert "Enter the id that the processor gave" in visible(response)
        assert 'id="case-processor_refund_id-error"><p role="alert">' in response.content.decode()
        self.propose(browser, case, "confirm_happened", processor_refund_id="60012345")
        page = visible(second.get(page_of(case)))
        assert "will count as refunded, under the processor's id 60012345" in page

    def test_evidence_is_text_and_never_a_card_number(self, browser, agent):
        case = make_unknown(agent, hours=30)
        assert "looks like a card number" in visible(
            self.propose(browser, case, evidence="4242 4242 4242 4242 was not refunded")
        )
        assert "at least 20 characters" in visible(self.propose(browser, case, evidence="No."))
        self.propose(browser, case, evidence="<script>alert(1)</script> is what it showed")
        assert "<script>alert" not in browser.get(page_of(case)).content.decode()

    def test_a_proposal_is_withdrawn_or_rejected(self, browser, second, agent):
        case = make_unknown(agent, hours=30)
        for client in (browser, second):
            self.propose(browser, case)
            ruling = Ruling.objects.get(decided_at__isnull=True)
            for _ in range(2):
                answer = client.post(
                    step_of(case, "reject_ruling"), {"ruling": ruling.pk}, follow=True
                )
                assert "is rejected. Nothing changed" in visible(answer)
        assert Refund.objects.get(pk=case.refund_id).status == Status.UNKNOWN

    def test_the_ruling_that_was_seen_is_the_one_that_counts(self, browser, second, agent):
        case = make_unknown(agent, hours=30)
        self.propose(browser, case)
        seen = Ruling.objects.get()
        rulings.reject(seen, actor=agent)
        self.propose(browser, case, "confirm_happened", processor_refund_id="1")
        answer = second.post(step_of(case, "confirm_ruling"), {"ruling": seen.pk}, headers=HTMX)
        assert answer.status_code == 200
        assert "has decided this already" in visible(answer)
        shown = Ruling.objects.get(decided_at=None)
        assert f'name="ruling" value="{shown.pk}"' in answer.content.decode()
        other = make_unknown(agent, hours=30)
        self.propose(browser, other)
        foreign = other.refund.rulings.get()
        answer = second.post(step_of(case, "confirm_ruling"), {"ruling": foreign.pk}, headers=HTMX)
        assert 'role="alert"' in answer.content.decode()
        assert not Ruling.objects.filter(confirmed=True).exists()

    def test_a_queued_refund_is_tried_now(self, browser, agent):
        case = case_of(make_refund(make_transaction(), 2500, agent), K.STUCK)
        assert "Have it tried now" in visible(browser.get(page_of(case)))
        answer = browser.post(step_of(case, "try_now"), follow=True)
        assert "as soon as a worker is free" in visible(answer)
        assert case.refund.events.filter(kind="hurried", actor=agent).exists()

    def test_an_owner_who_may_not_end_it_hands_it_over(self, browser, agent):
        refund = bring(make_refund(make_transaction(), 2500, agent), Status.SUCCEEDED)
        text = visible(browser.get(page_of(case_of(refund, K.MISSING))))
        assert "Hand it over to somebody who may approve refunds." in text

    @pytest.mark.parametrize("blank", ["\u200b", "\u2060", "\n", "\u00a0"])
    def test_evidence_that_cannot_be_seen_is_none(self, browser, agent, blank):
        case = make_unknown(agent, hours=30)
        typed = {"evidence": f"a{blank * 60}b"}
        answer = browser.post(step_of(case, "confirm_did_not"), typed, headers=HTMX)
        assert "at least 20 characters" in visible(answer)
        assert not Ruling.objects.exists()

    def test_a_foreign_site_cannot_post(self, approver, browser, agent):
        case = make_unknown(agent, hours=30)
        self.propose(browser, case)
        client = client_of(approver, enforce_csrf_checks=True)
        values = {"ruling": Ruling.objects.get().pk}
        assert client.post(step_of(case, "confirm_ruling"), values).status_code == 403


class TestSteps:
    def test_ask_now_stays_on_the_page(self, browser, agent):
        case = make_unknown(agent)
        answer = browser.post(step_of(case, "ask_now"), follow=True)
        assert answer.redirect_chain == [(page_of(case), 302)]
        assert "The processor is being asked." in visible(answer)
        assert "Asked to check now" in visible(answer)

    def test_an_error_of_a_press_is_said_on_the_page(self, browser, agent):
        refund = bring(make_refund(make_transaction(), 1000, agent), Status.SUCCEEDED)
        case = case_of(refund, K.RETURNED)
        answer = browser.post(step_of(case, "ask_now"), follow=True)
        assert answer.redirect_chain == [(page_of(case), 302)]
        assert "Only a refund that is unknown or pending can be checked." in visible(answer)

    def test_take_and_hand_over(self, browser, second, agent, approver):
        case = make_unknown(agent)
        second.post(step_of(case, "take"))
        assert Attention.objects.get(pk=case.pk).owner == approver
        dialog = second.get(step_of(case, "hand_over"), headers=HTMX).content.decode()
        assert "Ana Lup" in dialog
        values = {"to": agent.pk}
        for _ in range(2):
            answer = second.post(step_of(case, "hand_over"), values, follow=True)
            assert "The case belongs to Ana Lup now." in visible(answer)
        assert Attention.objects.get(pk=case.pk).owner == agent
        viewer = make_person("viewer")
        answer = second.post(step_of(case, "hand_over"), {"to": viewer.pk}, headers=HTMX)
        assert "Select a valid choice" in visible(answer)

    def test_accept_closes_it_with_a_note(self, second, agent):
        refund = bring(make_refund(make_transaction(), 1000, agent), Status.SUCCEEDED)
        case = case_of(refund, K.OVER_REFUNDED)
        for _ in range(2):
            answer = second.post(step_of(case, "accept"), {"note": "It was agreed."}, follow=True)
            assert answer.redirect_chain == [(INBOX, 302)]
        assert Attention.objects.get(pk=case.pk).outcome == "It was agreed."

    def test_what_only_proof_answers_is_not_accepted(self, second, agent):
        case = make_unknown(agent)
        assert "This closes by itself" in visible(second.get(page_of(case)))
        answer = second.post(step_of(case, "accept"), {"note": ""}, headers=HTMX)
        assert "This closes by itself" in visible(answer)

    def test_who_may_not_is_refused(self, agent):
        case = make_unknown(agent, hours=30)
        viewer = client_of(make_person("viewer"))
        for action, values in (
            ("confirm_did_not", {"evidence": SAW}), ("take", {}), ("check_account", {}),
        ):  # fmt: skip
            assert viewer.post(step_of(case, action), values).status_code == 403
        assert not Ruling.objects.exists()

    @pytest.mark.parametrize(
        ("action", "values", "sentence"),
        [
            ("ask_now", {}, "not about a refund"),
            ("confirm_did_not", {"evidence": SAW}, "not about a refund"),
            ("confirm_ruling", {"ruling": "1"}, "Select a valid choice"),
            ("process_webhook", {}, "not about a webhook"),
        ],
    )
    def test_what_the_case_is_not_about_is_said(self, action, values, sentence):
        raise_many(1)
        manager = client_of(make_person("manager"))
        answer = manager.post(step_of(Attention.objects.get(), action), values, follow=True)
        assert answer.status_code == 200
        assert sentence in visible(answer)

    def test_a_press_has_no_page_of_its_own(self, browser, agent):
        case = make_unknown(agent)
        assert browser.get(step_of(case, "take"))["Location"] == page_of(case)
