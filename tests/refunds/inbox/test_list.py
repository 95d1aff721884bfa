"""The list of what needs a person, and its number in the sidebar."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from refunds.attention import raise_case
from refunds.models import Attention, AttentionKind
from refunds.recovery import hold_accounts
from refunds.states import Status
from tests.pages import client_of, explain_list, visible
from tests.refunds.states import bring
from tests.rest import make_account, make_case, make_refund, make_ruling, make_transaction
from transactions.badges import number_of

from .cases import INBOX, make_unknown, page_of, raise_many, step_of

pytestmark = pytest.mark.django_db

K = AttentionKind


class TestList:
    def shown(self, browser, query=""):
        return [row.case for row in browser.get(INBOX + query).context["cl"].rows]

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

    @pytest.mark.parametrize("kind", K)
    def test_each_row_says_the_next_step(self, browser, kind):
        raise_many(1, kind)
        [row] = browser.get(INBOX).context["cl"].rows
        assert str(row.next_step)
        assert str(row.next_step) in visible(browser.get(INBOX))
        Attention.objects.all().close("Done.")
        settled = browser.get(f"{INBOX}?settled=true")
        assert str(row.next_step) not in visible(settled)

    def test_the_next_step_of_what_came_back(self, browser, agent):
        refund = bring(make_refund(make_transaction(), 2500, agent), Status.RETURNED)
        make_case(refund, K.RETURNED, "The refund had succeeded, and the money came back.")
        assert "Pay the customer again or another way, then accept." in visible(browser.get(INBOX))

    def test_the_next_step_of_what_waits_because_something_like_it_is_listed(self, browser, agent):
        make_case(make_refund(make_transaction(), 2500, agent), K.NOT_SENT, "It may be an earlier.")
        assert "Read what it waits for, and cancel it if it is not owed." in visible(
            browser.get(INBOX)
        )

    def test_what_is_proposed_waits_for_a_second_person(self, browser, agent):
        case = make_unknown(agent)
        make_ruling(case.refund, "did_not", agent)
        other = make_unknown(agent)
        rows = {row.case: row.next_step for row in browser.get(INBOX).context["cl"].rows}
        assert rows[case] == "A second person confirms or rejects what is proposed."
        assert rows[other] == "Ask the processor, or say what happened."

    def test_the_next_step_of_an_account_goes_by_what_stops_it(self, browser):
        account = make_account(paused_reason="The key was revoked.")
        raise_case(K.ACCOUNT_PAUSED, f"account:{account.pk}", "Paused.", account=account)
        hold_accounts(timezone.now())
        rows = browser.get(INBOX).context["cl"].rows
        assert [row.next_step for row in rows] == [
            "An administrator enters working credentials.",
            "Wait until it has been compared, or run manage.py recover.",
        ]

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
        assert queries() == one <= 9

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
        plan = explain_list(browser, INBOX + query)
        assert "attention_" in plan, plan
        assert "Seq Scan on refunds_attention" not in plan, plan


class TestSidebar:
    def test_it_counts_what_is_open_up_to_a_limit(self, browser):
        assert number_of(Attention.objects.open()) == ""
        raise_many(3)
        assert number_of(Attention.objects.open()) == "3"
        assert number_of(Attention.objects.open(), 2) == "2+"
        html = browser.get("/admin/refunds/refund/").content.decode()
        assert f'href="{INBOX}"' in html
