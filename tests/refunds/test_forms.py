"""The amounts and texts that the dialog refuses, each with a sentence, before anything is asked."""

import uuid

import pytest
from django.http import QueryDict

from gateways.money import Money
from refunds.attention import raise_case
from refunds.forms import EvidenceForm, HandOverForm, MadeForm, RefundForm, RulingForm
from refunds.models import Attention, AttentionKind
from tests.rest import make_person, make_transaction

pytestmark = pytest.mark.django_db

REFUSED = [
    *("0", "0.00", "-0", "-1", "NaN", "sNaN", "Infinity", "1e309", "1e3", "1E-2", "1_000", "0x10"),
    *("١٢", "１２", "½", " 12", "12 ", " 12,50", "1,250.00", "1.250,00", "12.345", ".5", "5."),
    *("+5", "−5", "$5", "5 USD", "", "true", "[]", "{}", "1" + "0" * 20, "9" * 400, "5\x00"),
    *("5\u200b", "\u202e5", "1\n2", "--5", "5-", "0.001"),
]


def form_of(transaction, **changes):
    values = {
        "amount": "12.50",
        "reason": "other",
        "note": "",
        "words": "",
        "token": str(uuid.uuid4()),
        "expected_refundable": transaction.refundable.major(),
    }
    data = QueryDict(mutable=True)
    for name, value in (values | changes).items():
        if isinstance(value, list):
            data.setlist(name, value)
        elif value is not None:
            data[name] = value
    return RefundForm(transaction, data)


def test_what_was_typed_becomes_money():
    form = form_of(make_transaction())
    assert form.is_valid(), form.errors
    assert form.cleaned_data["amount"] == Money(1250, "USD")
    assert form.cleaned_data["expected_refundable"] == Money(10_000, "USD")
    assert form.cleaned_data["reason"].code == "other"


@pytest.mark.parametrize("text", REFUSED)
def test_an_amount_that_is_none_is_refused_with_a_sentence(text):
    form = form_of(make_transaction(), amount=text)
    assert not form.is_valid()
    assert form.errors["amount"]
    assert all(str(error).endswith(".") for error in form.errors["amount"])


@pytest.mark.parametrize(
    ("currency", "good", "bad"),
    [("JPY", "100", "100.5"), ("KWD", "1.234", "1.2345"), ("USD", "1.23", "1.234")],
)
def test_decimals_are_the_currencys(currency, good, bad):
    transaction = make_transaction(currency=currency, amount_minor=100_000)
    assert form_of(transaction, amount=good).is_valid()
    assert not form_of(transaction, amount=bad).is_valid()


@pytest.mark.parametrize(
    "changes",
    [
        {"token": None},
        {"token": "abc"},
        {"expected_refundable": None},
        {"expected_refundable": "much"},
        {"expected_refundable": "0"},
    ],
)
def test_a_form_whose_hidden_parts_are_broken_says_so(changes):
    form = form_of(make_transaction(), **changes)
    assert not form.is_valid()
    assert form.non_field_errors() == ["This form is incomplete. Close it and open it again."]


@pytest.mark.parametrize(
    "name", ["amount", "reason", "note", "words", "token", "expected_refundable"]
)
def test_a_field_that_comes_twice_is_refused(name):
    transaction = make_transaction()
    value = form_of(transaction).data[name]
    form = form_of(transaction, **{name: [value, value]})
    assert not form.is_valid()
    assert name in str(form.non_field_errors())


@pytest.mark.parametrize("code", ["", "no-such-reason", "a\x00b"])
def test_a_reason_is_one_of_the_list(code):
    form = form_of(make_transaction(), reason=code)
    assert not form.is_valid()
    assert form.errors["reason"]


def test_a_hidden_reason_is_no_longer_offered():
    from refunds.models import RefundReason

    RefundReason.objects.filter(code="other").update(is_active=False)
    assert not form_of(make_transaction()).is_valid()


@pytest.mark.parametrize("name", ["note", "words"])
@pytest.mark.parametrize(
    "text", ["4242 4242 4242 4242", "card:4242424242424242", "x" * 2001, "\x00"]
)
def test_no_card_numbers_in_what_is_written(name, text):
    form = form_of(make_transaction(), **{name: text})
    assert not form.is_valid()
    assert form.errors[name]


class TestCaseForms:
    @pytest.fixture
    def case(self):
        transaction = make_transaction()
        raise_case(
            AttentionKind.DISPUTED, "transaction:1", "Look.",
            account=transaction.account, transaction=transaction,
        )  # fmt: skip
        return Attention.objects.get()

    def test_evidence_holds_no_card_number_and_has_an_end(self, case):
        for text, error in (
            ("", "Say what you saw, and where."),
            ("Card 4242 4242 4242 4242 shows nothing.", "This looks like a card number."),
            ("x" * 2001, "at most 2000 characters"),
        ):
            form = EvidenceForm(case, {"evidence": text})
            assert error in " ".join(form.errors["evidence"])

    def test_that_it_was_made_names_it_first(self, case):
        form = MadeForm(case)
        assert [field.name for field in form] == ["processor_refund_id", "evidence"]
        assert form.fields["processor_refund_id"].widget.attrs["autofocus"]

    def test_a_case_goes_to_who_may_do_something_about_it(self, case):
        able = {make_person("agent"), make_person("approver")}
        make_person("viewer")
        make_person("agent", is_active=False)
        assert set(HandOverForm(case).fields["to"].queryset) == able

    def test_a_case_without_a_refund_has_no_ruling(self, case):
        assert RulingForm(case, {"ruling": "1"}).errors
