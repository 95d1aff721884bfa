"""Cases and rulings over REST."""

import pytest
from django.utils import timezone

from refunds.attention import flag, raise_case
from refunds.cases import accept
from refunds.models import Attention, AttentionKind, Refund, Ruling
from refunds.states import Status
from tests.refunds.states import add_attempt, bring, leave_unknown
from tests.rest import (
    assert_problem,
    client_of,
    make_account,
    make_case,
    make_refund,
    make_transaction,
)

pytestmark = pytest.mark.django_db

CASES = "/api/v1/attention/"
EVIDENCE = "The statement of Friday has no such refund."
DID_NOT = {"verdict": "did_not", "evidence": EVIDENCE}


@pytest.fixture
def client():
    return client_of("agent")


@pytest.fixture
def second():
    return client_of("approver")


@pytest.fixture
def payment():
    return make_transaction(make_account("desk-nmi", "nmi"))


@pytest.fixture
def unknown(payment, client) -> Refund:
    return leave_unknown(make_refund(payment, 1_250, client.person))


def ids(client, **query) -> list[int]:
    response = client.get(CASES, query)
    assert response.status_code == 200, response.content
    return [one["id"] for one in response.json()["results"]]


# Cases.


def test_a_case_tells_what_it_is_about_and_what_may_be_done(client, unknown):
    flag(unknown, AttentionKind.UNKNOWN_OUTCOME, "Nobody knows.", {"asked": "3 times"})
    case = Attention.objects.get()
    told = {
        "id": case.pk,
        "kind": "unknown_outcome",
        "reason": "Nobody knows.",
        "since": case.raised_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "account": "desk-nmi",
        "transaction": unknown.transaction_id,
        "refund": str(unknown.pk),
        "webhook": None,
        "evidence": {"asked": "3 times"},
        "owner": client.person.username,
        "closed_at": None,
        "closed_by": None,
        "outcome": "",
    }
    assert client.get(CASES).json()["results"] == [told]
    actions = ["ask_now", "confirm_happened", "confirm_did_not", "hand_over", "open"]
    assert client.get(f"{CASES}{case.pk}/").json() == told | {
        "actions": actions,
        "may_be_twice": False,
    }


def test_the_oldest_case_comes_first_and_pages_follow(client, payment):
    cases = [make_case(make_refund(payment, 100), "returned") for _ in range(5)]
    expected = [case.pk for case in cases]
    assert ids(client) == expected
    assert ids(client, ordering="-created_at") == expected[::-1]
    found, address = [], f"{CASES}?page_size=2"
    while address:
        page = client.get(address).json()
        found += [one["id"] for one in page["results"]]
        address = page["next"]
    assert found == expected


def test_the_filters(client, second, payment):
    mine = make_case(make_refund(payment, 100, client.person), "returned")
    theirs = make_case(make_refund(make_transaction(), 100), "missing")
    account = payment.account
    raise_case(AttentionKind.UNPLACED, "x", "Whose?", account=account)
    loose = Attention.objects.get(kind="unplaced")
    Attention.objects.filter(pk=loose.pk).update(owner=None)
    assert ids(client, kind="missing") == [theirs.pk]
    assert ids(client, account="desk-nmi") == [mine.pk, loose.pk]
    assert ids(client, owner="me") == [mine.pk]
    assert ids(client, owner="nobody") == [loose.pk]
    assert ids(second, owner=client.person.username) == [mine.pk]
    assert ids(second, owner=second.person.username) == []


@pytest.mark.parametrize(
    "query",
    [
        {"kind": "odd"},
        {"kind": "MISSING"},
        {"owner": "two words"},
        {"owner": "zz"},
        {"owner": "\x00"},
        {"owner": "x" * 151},
        {"status": "open"},
        {"account": "none"},
        {"account": "\x00"},
    ],
    ids=str,
)
def test_an_impossible_filter_is_refused(client, query):
    assert list(assert_problem(client.get(CASES, query), 400)["errors"]) == list(query)


def test_a_page_of_cases_costs_the_same_however_long_it_is(
    client, payment, django_assert_num_queries
):
    client.get(CASES)
    for _ in range(2):
        for _ in range(5):
            make_case(make_refund(payment, 100), "returned")
        # The token, its accounts, one for the person's rights, and the page.
        with django_assert_num_queries(4):
            client.get(CASES)


def test_a_case_is_taken(second, payment):
    case = make_case(make_refund(payment, 100), "returned")
    taken = second.post(f"{CASES}{case.pk}/take/")
    assert taken.json()["owner"] == second.person.username
    assert "take" not in taken.json()["actions"]


def test_a_case_is_accepted_and_leaves_the_list(second, payment):
    case = make_case(make_refund(payment, 100), "made_outside")
    body = {"note": "The shop did it."}
    told = second.post(f"{CASES}{case.pk}/accept/", body, format="json").json()
    assert told["outcome"] == "The shop did it."
    assert told["closed_by"] == second.person.username
    assert told["closed_at"]
    assert told["actions"] == ["open"]
    assert ids(second) == []
    assert second.get(f"{CASES}{case.pk}/").json() == told
    again = second.post(f"{CASES}{case.pk}/accept/")
    assert_problem(again, 409, "wrong_status")


def test_what_was_made_outside_is_said_to_be_ours(second, payment):
    case = make_case(bring(make_refund(payment, 100), Status.SUCCEEDED), "made_outside")
    refused = second.post(f"{CASES}{case.pk}/count_as_ours/")
    assert_problem(refused, 409, "wrong_status")
    ours = bring(make_refund(payment, 100), Status.FAILED)
    add_attempt(ours, "ruled_out", first_sent_at=timezone.now())
    shown = second.get(f"{CASES}{case.pk}/").json()
    assert ("count_as_ours" in shown["actions"], shown["may_be_twice"]) == (True, False)
    bring(make_refund(payment, 100), Status.SUCCEEDED)
    assert second.get(f"{CASES}{case.pk}/").json()["may_be_twice"]
    told = second.post(f"{CASES}{case.pk}/count_as_ours/", {"note": "Seen."}, format="json").json()
    assert told["outcome"].endswith("Seen.")
    assert ours.events.filter(kind="made_after_all").exists()


def test_what_only_proof_answers_is_a_conflict(second, unknown):
    case = make_case(unknown, "unknown_outcome")
    problem = assert_problem(second.post(f"{CASES}{case.pk}/accept/"), 409, "wrong_status")
    assert "two people" in problem["detail"]


def test_an_agent_accepts_what_came_back_to_them(client, payment):
    mine = make_case(make_refund(payment, 100, client.person), "returned")
    others = make_case(make_refund(payment, 100), "returned")
    assert client.post(f"{CASES}{mine.pk}/accept/").status_code == 200
    assert_problem(client.post(f"{CASES}{others.pk}/accept/"), 403)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"note": 5}, "note"),
        ({"note": "x" * 301}, "note"),
        ({"note": "4242 4242 4242 4242"}, "note"),
        ({"outcome": "x"}, "outcome"),
    ],
)
def test_a_note_is_text(second, payment, body, field):
    case = make_case(make_refund(payment, 100), "made_outside")
    response = second.post(f"{CASES}{case.pk}/accept/", body, format="json")
    assert list(assert_problem(response, 400)["errors"]) == [field]
    case.refresh_from_db()
    assert case.closed_at is None


def test_accepting_needs_the_scope_that_approves(payment):
    narrow = client_of("manager", scopes=["read", "refund"])
    case = make_case(make_refund(payment, 100), "made_outside")
    assert_problem(narrow.post(f"{CASES}{case.pk}/accept/"), 403)
    assert narrow.post(f"{CASES}{case.pk}/take/").status_code == 200


def test_a_closed_case_has_its_own_address_only(second, payment):
    case = make_case(make_refund(payment, 100), "made_outside")
    accept(case, second.person)
    assert ids(second) == []
    assert second.get(f"{CASES}{case.pk}/").json()["outcome"] == "Accepted"
    assert_problem(second.get(f"{CASES}{case.pk + 1}/"), 404)


# Rulings.


def propose(client, refund, body=DID_NOT):
    return client.post(f"/api/v1/refunds/{refund.pk}/rulings/", body, format="json")


def decide(client, refund, word, ruling=None):
    ruling = ruling or Ruling.objects.latest("pk").pk
    return client.post(f"/api/v1/refunds/{refund.pk}/rulings/{ruling}/{word}/")


def test_two_people_rule(client, second, unknown):
    response = propose(client, unknown)
    assert response.status_code == 201
    document = response.json()
    assert document["status"] == "unknown"
    [ruling] = document["rulings"]
    assert ruling | {"id": None, "proposed_at": None} == {
        "id": None,
        "verdict": "did_not",
        "attempt": 1,
        "evidence": EVIDENCE,
        "provider_refund_id": "",
        "state": "open",
        "proposed_by": client.person.username,
        "proposed_at": None,
        "decided_by": None,
        "decided_at": None,
    }
    confirmed = decide(second, unknown, "confirm", ruling["id"])
    assert confirmed.status_code == 200
    document = confirmed.json()
    assert document["status"] == "failed"
    assert document["failure"]["code"] == "not_made"
    assert document["attempts"][0]["state"] == "ruled_out"
    assert document["rulings"][0]["state"] == "confirmed"
    assert document["rulings"][0]["decided_by"] == second.person.username
    assert_problem(decide(second, unknown, "confirm", ruling["id"]), 409, "wrong_status")


def test_proof_that_it_was_made_is_its_id(client, second, unknown):
    propose(client, unknown, {"verdict": "happened", "provider_refund_id": "9001"})
    document = decide(second, unknown, "confirm").json()
    assert (document["status"], document["provider_refund_id"]) == ("succeeded", "9001")


def test_nobody_is_two_people(second, unknown):
    propose(second, unknown)
    assert_problem(decide(second, unknown, "confirm"), 403)
    assert decide(second, unknown, "reject").json()["rulings"][0]["state"] == "rejected"


def test_an_agent_withdraws_and_does_not_confirm(client, unknown):
    propose(client, unknown)
    assert_problem(decide(client_of("agent"), unknown, "confirm"), 403)
    assert_problem(decide(client_of("agent"), unknown, "reject"), 403)
    assert decide(client, unknown, "reject").status_code == 200
    assert Refund.objects.get(pk=unknown.pk).status == Status.UNKNOWN


def test_what_cannot_be_said_yet_says_when(client, unknown):
    problem = assert_problem(propose(client, unknown, {"verdict": "send_again"}), 409)
    assert "Two complete look-ups" in problem["detail"]
    propose(client, unknown)
    problem = assert_problem(propose(client, unknown), 409, "wrong_status")
    assert "second person" in problem["detail"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "verdict"),
        ({"verdict": "maybe"}, "verdict"),
        ({"verdict": True}, "verdict"),
        ({"verdict": ["did_not"]}, "verdict"),
        ({"verdict": "did_not"}, "evidence"),
        ({"verdict": "did_not", "evidence": "short"}, "evidence"),
        ({"verdict": "did_not", "evidence": 5}, "evidence"),
        ({"verdict": "did_not", "evidence": "x" * 5_001}, "evidence"),
        ({"verdict": "did_not", "evidence": "He paid with 4242424242424242."}, "evidence"),
        ({"verdict": "happened"}, "provider_refund_id"),
        ({"verdict": "happened", "provider_refund_id": "two words"}, "provider_refund_id"),
        ({"verdict": "happened", "provider_refund_id": 9001}, "provider_refund_id"),
        ({"verdict": "happened", "provider_refund_id": "9" * 101}, "provider_refund_id"),
        (DID_NOT | {"processor_refund_id": "1"}, "processor_refund_id"),
        (DID_NOT | {"confirmed": True}, "confirmed"),
    ],
)
def test_what_is_not_a_ruling_is_refused(client, unknown, body, field):
    assert list(assert_problem(propose(client, unknown, body), 400)["errors"]) == [field]
    assert not Ruling.objects.exists()


@pytest.mark.parametrize(
    "body",
    [b'{"verdict": "did_not", "verdict": "happened"}', b"[]", b"5", b"{", b'{"verdict": NaN}'],
)
def test_a_body_is_one_plain_object(client, unknown, body):
    address = f"/api/v1/refunds/{unknown.pk}/rulings/"
    assert_problem(client.generic("POST", address, body, "application/json"), 400)
    assert not Ruling.objects.exists()


def test_a_ruling_belongs_to_its_refund(client, second, unknown, payment):
    propose(client, unknown)
    other = make_refund(payment, 100)
    assert_problem(decide(second, other, "confirm"), 404)
    assert_problem(decide(second, unknown, "confirm", 10**30), 404)
    assert Ruling.objects.get().state == "open"


def test_confirming_takes_no_body(client, second, unknown):
    propose(client, unknown)
    ruling = Ruling.objects.get()
    address = f"/api/v1/refunds/{unknown.pk}/rulings/{ruling.pk}/confirm/"
    response = second.post(address, {"verdict": "happened"}, format="json")
    assert_problem(response, 400)
    ruling.refresh_from_db()
    assert ruling.state == "open"


def test_rulings_need_their_scopes(unknown):
    narrow = client_of("manager", scopes=["read", "refund"])
    assert propose(narrow, unknown).status_code == 201
    assert_problem(decide(client_of("manager", scopes=["read", "refund"]), unknown, "confirm"), 403)
    reader = client_of("manager", scopes=["read"])
    assert_problem(decide(reader, unknown, "reject"), 403)
