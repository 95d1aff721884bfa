"""When another person has to approve: the rules that count, and what they say."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateways.money import Money
from refunds.models import RuleKind
from refunds.models.rule import MONEY
from refunds.policy import RuleSet, in_force, is_beyond, reasons

K = RuleKind


def of_payment(value: int | None, **scope) -> RuleSet:
    return RuleSet(K.PAYMENT, value, **scope)


class TestReasons:
    def ask(self, amount: int, measured: int, limit: int, kind: RuleKind = K.PAYMENT) -> list[str]:
        found = reasons(Money(amount, "USD"), {kind: limit}, {kind: measured})
        return [each.sentence for each in found]

    @pytest.mark.parametrize(
        ("amount", "total", "limit"), [(1, 1, 50_000), (50_000, 50_000, 50_000), (2, 5, 5)]
    )
    def test_up_to_the_limit_nobody_is_asked(self, amount, total, limit):
        assert self.ask(amount, total, limit) == []

    @pytest.mark.parametrize(
        ("amount", "total", "limit", "words"),
        [
            (50_001, 50_001, 50_000, "because it is more than 500.00 USD."),
            (50_001, 80_001, 50_000, "because it is more than 500.00 USD."),
            (20_001, 50_001, 50_000, "with it 500.01 USD of this payment go back"),
            (1, 1, 0, "because it is more than 0.00 USD."),
        ],
    )
    def test_above_it_another_person_is_and_reads_why(self, amount, total, limit, words):
        [why] = self.ask(amount, total, limit)
        assert why.startswith("Another person has to approve it")
        assert words in why

    def test_the_sentence_of_a_day_is_that_of_no_other_rule(self):
        limits, measured = {K.PAYMENT: 6_000, K.DAY: 6_000}, {K.PAYMENT: 8_000, K.DAY: 8_000}
        of_payment, of_day = reasons(Money(8_000, "USD"), limits, measured)
        assert of_payment.sentence.endswith("because it is more than 60.00 USD.")
        assert "with it 80.00 USD go back within a day" in of_day.sentence
        assert of_day.sentence.endswith("more than 60.00 USD.")

    @pytest.mark.parametrize(
        ("kind", "words"),
        [
            (K.AGE, "the payment's age in days was 8, more than 7."),
            (K.TRIES, "the number of tries before it was 8, more than 7."),
            (K.CUSTOMER, "refunds that the customer got in the last 30 days was 8, more than 7."),
            (K.CARD, "refunds to cards like this one in the last 30 days was 8, more than 7."),
            (K.OWN_CUSTOMER, "to this customer in the last 90 days was 8, more than 7."),
            (K.RISKY, "payments that the customer disputed in the last year was 8, more than 7."),
            (K.UNUSUAL, "more than 7 × what the one who asks usually gives back."),
        ],
    )
    def test_numbers_are_told_in_words(self, kind, words):
        [why] = self.ask(100, 8, 7, kind)
        assert words in why
        assert self.ask(100, 7, 7, kind) == []

    def test_soon_asks_below_its_limit(self):
        [why] = self.ask(100, 4, 5, K.SOON)
        assert "the payment's age in minutes was only 4, less than 5." in why
        assert self.ask(100, 5, 5, K.SOON) == []

    def test_no_number_counts_the_word_after_it(self):
        """It may be one, and a stored sentence is told anew without forms of the plural."""
        for kind in set(K) - MONEY:
            found, limit = (1, 2) if kind == K.SOON else (2, 1)
            [why] = self.ask(100, found, limit, kind)
            assert not re.search(r"\b[12] [a-z]", why), why

    def test_every_reason_is_told(self):
        limits = {K.PAYMENT: 100, K.DAY: 500, K.AGE: 30}
        found = reasons(Money(90, "JPY"), limits, {K.PAYMENT: 190, K.DAY: 590, K.AGE: 31})
        assert [each.kind for each in found] == [K.PAYMENT, K.DAY, K.AGE]
        assert "590 JPY go back within a day" in found[1].sentence

    def test_what_could_not_be_measured_asks_nobody(self):
        assert reasons(Money(1, "USD"), {K.CUSTOMER: 0}, {}) == []

    def test_every_kind_that_is_measured_has_its_sentence(self):
        for kind in set(K) - {K.APPROVING}:
            limit = 5 if kind == K.SOON else 0
            [why] = self.ask(0, 3, limit, kind)
            assert "%" not in why


class TestInForce:
    def test_without_a_rule_there_is_no_limit(self):
        assert in_force([]) == {}
        assert in_force([of_payment(None)]) == {}

    @pytest.mark.parametrize(
        ("history", "counts"),
        [
            ([of_payment(100), of_payment(200)], 200),
            ([of_payment(100), of_payment(70, of_account=True)], 70),
            ([of_payment(100), of_payment(70, of_account=True), of_payment(None, of_account=True)], 100),
            ([of_payment(100, role=1), of_payment(500)], 100),
            ([of_payment(100, role=1), of_payment(300, role=2)], 300),
            ([of_payment(100, role=1), of_payment(300, role=1, of_account=True)], 300),
            ([of_payment(900, role=1), of_payment(20, of_person=True)], 20),
            ([of_payment(900, role=1, of_account=True), of_payment(20, of_person=True)], 20),
            ([of_payment(20, of_person=True), of_payment(None, of_person=True), of_payment(5)], 5),
        ],
    )  # fmt: skip
    def test_the_nearest_counts(self, history, counts):
        assert in_force(history) == {K.PAYMENT: counts}

    def test_of_two_roles_the_more_generous_counts_also_where_that_is_less(self):
        history = [RuleSet(K.SOON, 60, role=1), RuleSet(K.SOON, 5, role=2)]
        assert in_force(history) == {K.SOON: 5}

    @pytest.mark.parametrize(
        "loosens",
        [
            of_payment(500, by_subject=True),
            of_payment(None, by_subject=True),
            of_payment(500, of_account=True, by_subject=True),
            of_payment(500, of_person=True, by_subject=True),
            of_payment(500, role=7, by_subject=True),
        ],
    )
    def test_nobody_loosens_a_rule_for_themselves(self, loosens):
        assert in_force([of_payment(100), loosens]) == {K.PAYMENT: 100}

    def test_soon_is_loosened_by_less(self):
        history = [RuleSet(K.SOON, 60), RuleSet(K.SOON, 5, by_subject=True)]
        assert in_force(history) == {K.SOON: 60}
        assert in_force([*history, RuleSet(K.SOON, 90, by_subject=True)]) == {K.SOON: 90}

    def test_everybody_may_be_stricter_with_themselves(self):
        assert in_force([of_payment(100), of_payment(5, by_subject=True)]) == {K.PAYMENT: 5}

    def test_kinds_do_not_touch_each_other(self):
        history = [of_payment(100), RuleSet(K.DAY, 7), RuleSet(K.DAY, None, by_subject=True)]
        assert in_force(history) == {K.PAYMENT: 100, K.DAY: 7}


_RULES = st.builds(
    RuleSet,
    kind=st.sampled_from([K.PAYMENT, K.SOON]),
    value=st.none() | st.integers(0, 5),
    of_account=st.booleans(),
    role=st.none() | st.integers(1, 2),
    by_subject=st.booleans(),
)


@given(st.lists(_RULES, max_size=8), _RULES)
def test_whatever_a_person_sets_never_makes_a_rule_looser_for_them(history, last):
    own = RuleSet(last.kind, last.value, last.of_account, last.role, by_subject=True)
    before, after = in_force(history), in_force([*history, own])
    for kind, limit in before.items():
        assert kind in after
        assert not (limit != after[kind] and is_beyond(kind, after[kind], limit))


@pytest.mark.parametrize(
    "own",
    [
        of_payment(10_000, of_person=True, by_subject=True),
        of_payment(10_000, of_account=True, by_subject=True),
        of_payment(10_000, role=7, by_subject=True),
    ],
)
@pytest.mark.parametrize("before", [[], [of_payment(10_000)]])
def test_what_a_person_set_for_themselves_does_not_stand_above_a_later_rule_of_another(before, own):
    """Set while nothing, or the same, counted, it is no exemption from what others set after it."""
    assert in_force([*before, own, of_payment(100)]) == {K.PAYMENT: 100}
