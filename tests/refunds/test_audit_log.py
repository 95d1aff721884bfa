"""The audit log's page: both chains by time, filtered, for auditors, and taken along as a file."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.translation import gettext, override

from access.models import AccountRole
from audit.kinds import Kind
from audit.log import changes, record
from audit.models import AuditEntry
from gateways.models import Mode
from refunds.audit_rows import GROUPS, choices_of_kinds
from refunds.history import record_event
from refunds.models import AttentionKind, AuditLine, RuleKind
from refunds.policy import Reason
from refunds.rules import told
from refunds.services import cancel_refund
from tests.pages import client_of, explain_list, visible
from tests.rest import make_account, make_person, make_refund, make_token, make_transaction

from .raw import triggers_off

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("without_sign_ins")]

LIST = "/admin/refunds/auditline/"


@pytest.fixture
def auditor() -> User:
    return make_person("auditor", first_name="Marta", last_name="Kowalska")


@pytest.fixture
def browser(auditor):
    return client_of(auditor)


@pytest.fixture
def ours():
    return make_account("ours")


@pytest.fixture
def refund(ours):
    return make_refund(make_transaction(ours, external_id="ch_known"), 1_000)


def shown(response) -> list[tuple[str, int]]:
    return [(row.line.chain, row.line.sequence) for row in response.context["cl"].rows]


def kinds(response) -> list[str]:
    return [row.line.kind for row in response.context["cl"].rows]


def refunds_asked(client, address) -> int:
    """How often the statement of a page looks at a refund."""
    return sum(
        int(line.split("loops=")[1].split(")")[0])
        for line in explain_list(client, address, "refunds_auditline", analyze=True).splitlines()
        if " on refunds_refund " in line and "loops=" in line
    )


def page_of(line: AuditLine) -> str:
    return f"{LIST}{line.pk}/change/"


class TestList:
    def test_both_chains_newest_first(self, browser, ours, refund, auditor):
        record(
            Kind.ACCOUNT_CHANGED, actor=auditor, account_id=ours.pk, about=ours,
            data=changes({"is_active": True}, {"is_active": False}),
        )  # fmt: skip
        cancel_refund(refund, actor=refund.requested_by)
        answer = browser.get(LIST)
        assert shown(answer) == [("refunds", 2), ("entries", 1), ("refunds", 1)]
        text = visible(answer)
        for words in (
            "Canceled before it was sent", "10.00 USD, ch_known", "Queued",
            "Processor account changed", "Marta Kowalska", "ours", "Active yes",
        ):  # fmt: skip
            assert words in text, words
        assert f"/admin/refunds/refund/{refund.pk}/change/" in answer.content.decode()

    def test_it_pages_by_key_across_both_chains(self, browser, refund):
        for number in range(70):
            record(Kind.SIGNED_IN, actor=None, data={"n": number})
        first = browser.get(LIST)
        older = first.context["cl"].older_url
        second = browser.get(f"{LIST}{older}")
        assert shown(first) == [("entries", number) for number in range(70, 20, -1)]
        assert shown(second) == [*(("entries", n) for n in range(20, 0, -1)), ("refunds", 1)]
        assert not second.context["cl"].older_url
        assert shown(browser.get(f"{LIST}{second.context['cl'].newer_url}")) == shown(first)

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("kind=export", ["export.made"]),
            ("kind=account", ["account.paused"]),
            ("kind=account.paused", ["account.paused"]),
            ("kind=refunds", ["refunds.requested"]),
            ("account=ours", ["account.paused", "refunds.requested"]),
            ("kind=account&account=ours", ["account.paused"]),
            ("actor={person}", ["export.made"]),
            ("q={refund}", ["refunds.requested"]),
            ("q=ch_known", ["refunds.requested"]),
            ("q={payment}", ["refunds.requested"]),
            ("q={account}", ["account.paused"]),
            ("q=nothing", []),
            ("created_after=2001-01-01&kind=export", ["export.made"]),
            ("created_before=2001-01-01", []),
        ],
    )
    def test_it_is_filtered(self, browser, ours, refund, auditor, query, found):
        # Keys that mean one thing only.
        account = make_account("theirs", pk=987_654)
        record(Kind.ACCOUNT_PAUSED, actor=None, account_id=ours.pk, about=account)
        record(Kind.EXPORTED, actor=auditor)
        names = {
            "person": auditor.pk, "refund": refund.pk, "payment": refund.transaction_id,
            "account": account.pk,
        }  # fmt: skip
        answer = browser.get(f"{LIST}?{query.format(**names)}")
        assert kinds(answer) == found

    def test_it_says_what_makes_no_sense(self, browser, refund):
        answer = browser.get(f"{LIST}?kind=nothing&actor=x&data__x=1")
        assert len(kinds(answer)) == 1
        assert set(answer.context["cl"].ignored) == {"What", "Who", "data__x"}

    def test_every_kind_has_a_group(self):
        offered = dict(choices_of_kinds())
        for kind in Kind:
            assert kind.group in GROUPS
            assert {kind.value, kind.group} & set(offered)

    @pytest.mark.parametrize("language", ["en", "pl"])
    def test_each_reason_is_told_once_and_by_itself(self, auditor, refund, language):
        more = "Another person has to approve it, because it is more than %s."
        risky = "Another person has to approve it, because the customer is marked as risky."
        reasons = [
            Reason(RuleKind.PAYMENT, more % "60.00 USD"),
            Reason(RuleKind.RISKY, risky),
        ]
        record_event(refund, "approval_needed", data=told(reasons))
        browser = client_of(auditor, headers={"accept-language": language})
        line = AuditLine.objects.get(kind="refunds.approval_needed")
        for text in (visible(browser.get(LIST)), visible(browser.get(page_of(line)))):
            with override(language):
                told_sum = "60,00 USD" if language == "pl" else "60.00 USD"
                for sentence in (gettext(more) % told_sum, gettext(risky)):
                    assert text.count(sentence) == 1, text
            assert "payment, " not in text

    def test_sentences_and_codes_of_ours_are_told_in_the_language_of_the_reader(
        self, auditor, ours, refund
    ):
        record(
            Kind.ACCOUNT_ADDED, actor=auditor, account_id=ours.pk, about=ours,
            data={"processor": "nmi", "mode": "test"},
        )  # fmt: skip
        record_event(refund, "needs_attention", data={"kind": "stuck", "reason": "Queued"})
        browser = client_of(auditor, headers={"accept-language": "pl"})
        text = visible(browser.get(LIST))
        plan = "It is refunded now through %s."
        with override("pl"):
            for words in (
                gettext(plan) % "Stripe", AttentionKind.STUCK.label, gettext("Queued"),
                Mode.TEST.label, gettext("Reason"),
            ):  # fmt: skip
                assert str(words) in text, words
        assert "10,00 USD" in text
        assert plan % "Stripe" not in text

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            ({"why": "idle"}, "Why Nothing was done for a while"),
            ({"why": "long"}, "Why Signed in too long ago"),
            ({"why": "elsewhere"}, "Why Ended from another place"),
            ({"factor": "totp"}, "Second factor Authenticator app"),
            ({"action": "approve"}, "Action Approve"),
            ({"action": "hurry"}, "Action Try now"),
            ({"why": "Queued"}, "Why Queued"),
            ({"what": "payments"}, "What Payments"),
            ({"changed": {"mode": ["test", "live"]}}, "Mode Test →is now Live"),
            ({"never_heard_of": "idle"}, "Never heard of idle"),
            ({"why": {"a": 1}}, 'Why {"a": 1}'),
        ],
    )
    def test_codes_are_told_in_words(self, browser, data, words):
        record(Kind.SESSION_ENDED, actor=None, data=data)
        assert words in visible(browser.get(LIST)).replace("&quot;", '"')

    def test_the_number_of_queries_does_not_grow(self, browser, ours, refund):
        def count() -> int:
            with CaptureQueriesContext(connection) as queries:
                assert browser.get(LIST).status_code == 200
            return len(queries)

        record(Kind.ACCOUNT_PAUSED, actor=make_person("admin"), account_id=ours.pk, about=ours)
        few = count()
        for number in range(10):
            record(Kind.SIGNED_IN, actor=make_person("admin"), data={"n": number})
            make_refund(refund.transaction, 100)
        assert count() == few

    def test_names_with_ends_of_lines_stay_on_theirs(self, browser):
        record(Kind.SIGN_IN_FAILED, actor=None, about_name="ana\r\n<b>admin</b>")
        text = visible(browser.get(LIST))
        assert r"ana\r\n<b>admin</b>" in text

    def test_a_person_who_was_called_otherwise_is_told_as_both(self, browser, auditor):
        record(Kind.SIGNED_IN, actor=auditor)
        User.objects.filter(pk=auditor.pk).update(username="renamed")
        assert f"Marta Kowalska ({auditor.username})" in visible(browser.get(LIST))

    def test_it_says_when_it_is_empty(self, browser):
        assert "Nothing happened yet" in visible(browser.get(LIST))


class TestScope:
    """Who has the right for one account sees what is about it, and nothing about none."""

    @pytest.fixture
    def scoped(self, auditor, ours):
        AccountRole.objects.create(user=auditor, role=auditor.groups.get(), account=ours)
        auditor.groups.clear()
        return client_of(auditor)

    def test_the_list_and_the_file(self, scoped, ours, refund):
        theirs = make_account("theirs")
        make_refund(make_transaction(theirs), 100)
        record(Kind.ACCOUNT_PAUSED, actor=None, account_id=ours.pk, about=ours)
        record(Kind.ACCOUNT_PAUSED, actor=None, account_id=theirs.pk, about=theirs)
        record(Kind.SIGNED_IN, actor=None)
        assert shown(scoped.get(LIST)) == [("entries", 1), ("refunds", 1)]
        assert [line["Number"] for line in taken(scoped)] == ["1", "1"]

    def test_what_other_accounts_do_costs_nothing(self, scoped, refund):
        """An event has no account: each that is read is asked for that of its refund."""
        elsewhere = make_transaction(make_account("theirs"))
        for _number in range(20):
            make_refund(elsewhere, 100)
        everywhere = client_of(make_person("auditor"))
        assert refunds_asked(scoped, LIST) <= 2, "once to find it, once to show it"
        assert refunds_asked(everywhere, f"{LIST}?account=ours") <= 2
        assert len(shown(everywhere.get(f"{LIST}?account=theirs"))) == 20

    def test_an_account_with_more_refunds_than_are_named(self, scoped, ours, refund, monkeypatch):
        monkeypatch.setattr("refunds.audit_log._MOST", 1)
        cancel_refund(make_refund(refund.transaction, 100), actor=make_person("manager"))
        assert shown(scoped.get(LIST)) == [("refunds", 3), ("refunds", 2), ("refunds", 1)]

    def test_the_pages(self, scoped, ours, refund):
        record(Kind.ACCOUNT_PAUSED, actor=None, account_id=ours.pk, about=ours)
        record(Kind.SIGNED_IN, actor=None)
        record(Kind.ACCOUNT_PAUSED, actor=None, account_id=make_account("theirs").pk)
        found = {
            line.kind: scoped.get(page_of(line)).status_code for line in AuditLine.objects.all()
        }
        assert found.pop("sign_in.succeeded") == 404
        assert found.pop("refunds.requested") == 200
        lines = AuditLine.objects.filter(kind="account.paused").order_by("pk")
        assert [scoped.get(page_of(line)).status_code for line in lines] == [200, 404]


class TestPage:
    def test_it_has_every_fact(self, browser, auditor, ours):
        record(
            Kind.ACCOUNT_CHANGED, actor=auditor, account_id=ours.pk, about=ours,
            data=changes({"base_url": "https://a"}, {"base_url": "https://b"}),
        )  # fmt: skip
        entry = AuditEntry.objects.get()
        text = visible(browser.get(page_of(AuditLine.objects.get())))
        for words in (
            "Processor account changed", "Marta Kowalska", "https://a", "https://b", "Address", "Entry 1",
            "Processor account",
            entry.hash, entry.previous_hash, str(ours.pk),
        ):  # fmt: skip
            assert words in text, words

    def test_what_it_is_about_is_called_by_its_name(self, browser, auditor):
        token, _key = make_token(auditor)
        record(Kind.TOKEN_MADE, actor=auditor, about=token, data=token.facts())
        answer = browser.get(page_of(AuditLine.objects.get()))
        for words in ("API token", "Acts as", "Scopes", "Entry 1"):
            assert words in visible(answer), words
        for words in ("access.apitoken", "entries 1"):
            assert words not in answer.content.decode(), words

    @pytest.mark.parametrize("key", ["0", "99", "x", "²", "9" * 18, "9" * 30])
    def test_what_is_not_there_is_a_404(self, browser, key):
        assert browser.get(f"{LIST}{key}/change/").status_code == 404

    def test_nobody_writes_to_it(self, refund):
        root = client_of(User.objects.create_superuser("root"))
        line = AuditLine.objects.get()
        assert root.get(page_of(line)).status_code == 200
        for address in (LIST, page_of(line), f"{LIST}add/", f"{LIST}{line.pk}/delete/"):
            assert root.post(address, {"post": "yes"}).status_code == 403
        assert root.post(f"{LIST}export.csv").status_code == 403


def taken(client, query: str = "") -> list[dict[str, str]]:
    answer = client.get(f"{LIST}export.csv?{query}")
    assert answer.status_code == 200
    text = b"".join(answer.streaming_content).decode().removeprefix("\ufeff")
    return list(csv.DictReader(io.StringIO(text, newline="")))


class TestExport:
    def test_it_is_what_the_list_shows_and_is_told_itself(self, browser, auditor, refund):
        record(Kind.ACCOUNT_PAUSED, actor=auditor, about_name="=evil()", data={"why": "=evil()"})
        [line] = taken(browser, "kind=account&q=&p=older.1.1")
        assert (line["Kind"], line["Who"], line["Name"]) == (
            "account.paused", "Marta Kowalska", "'=evil()",
        )  # fmt: skip
        assert (line["Details"], len(line["Hash"])) == ('{"why": "=evil()"}', 64)
        told = AuditEntry.objects.get(kind="export.made")
        assert (told.actor, told.data) == (
            auditor, {"what": "audit_log", "format": "csv", "query": "kind=account"},
        )  # fmt: skip

    def test_all_of_it_in_pages(self, browser, refund, monkeypatch):
        monkeypatch.setattr("refunds.audit_log._PAGE", 3)
        for number in range(7):
            record(Kind.SIGNED_IN, actor=None, data={"n": number})
        lines = taken(browser)
        numbers = [(line["Chain"], line["Number"]) for line in lines]
        assert numbers == [*(("entries", str(n)) for n in range(8, 0, -1)), ("refunds", "1")]

    @pytest.mark.parametrize(
        ("query", "name"),
        [("kind=nonsense", "What"), ("actor=999", "Who"), ("created_after=notadate", "From"),
         ("account=999", "Account"), ("data__x=1", "data__x")],
    )  # fmt: skip
    def test_what_is_not_understood_takes_nothing_along(self, browser, refund, query, name):
        assert browser.get(f"{LIST}?{query}").context["cl"].ignored == (name,)
        answer = browser.get(f"{LIST}export.csv?{query}")
        assert answer.status_code == 400
        assert f"makes no sense in the address: {name}" in answer.content.decode()
        assert not AuditEntry.objects.exists()

    def test_who_may_only_look_takes_nothing_along(self, refund, make_user):
        viewer = client_of(make_user("audit.view_auditentry"))
        assert "export.csv" not in viewer.get(LIST).content.decode()
        assert viewer.get(f"{LIST}export.csv").status_code == 403
        assert not AuditEntry.objects.exists()


_MANY = """
INSERT INTO audit_auditentry (sequence, at, kind, actor_id, actor_name, account_id, about_type,
    about_id, about_name, request_id, data, previous_hash, hash)
  SELECT n, now() - n * interval '1 second', 'sign_in.succeeded', NULL, '', n %% 7, 'auth.user',
    (n %% 500)::text, '', '', '{}', repeat('0', 64), repeat('0', 64)
  FROM generate_series(10, 20000) AS n;
INSERT INTO refunds_refundevent (sequence, refund_id, at, kind, from_status, to_status, data,
    previous_hash, hash)
  SELECT n, %s, now() - n * interval '1 second', 'noted', '', '', '{}', repeat('0', 64),
    repeat('0', 64)
  FROM generate_series(10, 20000) AS n;
ANALYZE audit_auditentry, refunds_refundevent;
"""


@pytest.mark.parametrize(
    ("query", "indexes"),
    [
        ("", ("audit_newest", "event_newest")),
        ("p={older}", ("audit_newest", "event_newest")),
        ("kind=refunds", ("event_newest",)),
        ("kind=export", ("audit_by_kind",)),
        ("q={refund}", ("Index Scan",)),
    ],
)
def test_every_list_walks_an_index(browser, refund, query, indexes):
    with triggers_off(), connection.cursor() as cursor:
        cursor.execute(_MANY, [refund.pk])
    older = int((timezone.now() - timedelta(hours=2)).timestamp() * 1_000_000)
    names = {"older": f"older.{older}.9", "refund": refund.pk}
    plan = explain_list(browser, f"{LIST}?{query.format(**names)}", "refunds_auditline")
    for index in indexes:
        assert index in plan, plan
    assert "Seq Scan on refunds_refundevent" not in plan, plan
    assert "Seq Scan on audit_auditentry" not in plan, plan
