"""A key stands for the first answer whose request ran, for 24 hours."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from tests.waiting import wait_until

from .merchants import Stripe, error_of, new_key


def test_the_first_answer_is_replayed_as_it_was(sandbox, stripe):
    payment, key = stripe.pay(last4="7726"), new_key()
    first = stripe.refund(payment, amount=100, key=key)
    sandbox.clock.advance(timedelta(seconds=30))
    again = stripe.refund(payment, amount=100, key=key)
    assert again.body == first.body
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Original-Request"] == first.headers["Request-Id"]
    assert "Idempotent-Replayed" not in first.headers
    assert len(sandbox.ledger.refunds_of(payment)) == 1


def test_the_order_of_the_parameters_does_not_matter(sandbox, stripe):
    payment, key = stripe.pay(), new_key()
    stripe.post("/v1/refunds", [("charge", payment.id), ("amount", 5)], idempotency_key=key)
    again = stripe.post("/v1/refunds", [("amount", 5), ("charge", payment.id)], idempotency_key=key)
    assert again.headers["Idempotent-Replayed"] == "true"


def test_other_parameters_or_another_address_are_refused(sandbox, stripe):
    payment, key = stripe.pay(), new_key()
    stripe.refund(payment, amount=100, key=key)
    other = stripe.refund(payment, amount=101, key=key)
    assert error_of(other)[:2] == (400, "idempotency_error")
    path = f"/v1/charges/{payment.id}/refunds"
    elsewhere = stripe.post(path, {"amount": 100}, idempotency_key=key)
    assert error_of(elsewhere)[1] == "idempotency_error"
    assert len(sandbox.ledger.refunds_of(payment)) == 1


def test_a_refusal_that_ran_is_stored_and_one_before_is_not(stripe):
    payment, key = stripe.pay(dispute="open"), new_key()
    stripe.refund(payment, amount=100, key=key)
    assert stripe.refund(payment, amount=100, key=key).headers["Idempotent-Replayed"] == "true"
    unread, key = stripe.pay(), new_key()
    assert stripe.refund(unread, amount="x", key=key).status == 400
    assert stripe.refund(unread, amount=100, key=key).status == 200


def test_a_401_and_a_429_are_not_stored(stripe, control):
    payment, key = stripe.pay(), new_key()
    assert stripe.refund(payment, amount=4_29, key=key).status == 429
    second = stripe.refund(payment, amount=4_29, key=key)
    assert (second.status, "Idempotent-Replayed" in second.headers) == (429, False)


def test_after_24_hours_a_key_means_a_new_refund(sandbox, stripe):
    payment, key = stripe.pay(), new_key()
    first = stripe.refund(payment, amount=100, key=key).data["id"]
    sandbox.clock.advance(timedelta(hours=23, minutes=59))
    assert stripe.refund(payment, amount=100, key=key).data["id"] == first
    sandbox.clock.advance(timedelta(minutes=2))
    assert stripe.refund(payment, amount=100, key=key).data["id"] != first


def test_keys_of_two_accounts_do_not_meet(stripe, japan):
    key = new_key()
    mine, theirs = stripe.pay(), japan.pay(currency="JPY")
    assert stripe.refund(mine, amount=100, key=key).status == 200
    assert japan.refund(theirs, amount=100, key=key).status == 200


def test_a_twin_in_progress_gets_409(sandbox, stripe, control):
    payment, key = stripe.pay(), new_key()
    control("/faults", {"dialect": "stripe", "call": "refund", "what": "slow", "seconds": 30})

    def ask():
        merchant = Stripe(sandbox)
        try:
            return merchant.refund(payment, amount=100, key=key)
        finally:
            merchant.close()

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask)
        wait_until(lambda: (stripe.account.name, key) in sandbox.ledger.answers)
        twin = stripe.refund(payment, amount=100, key=key)
        control("/faults", method="DELETE")
        assert first.result(10).status == 200
    assert error_of(twin)[0:3:2] == (409, "idempotency_key_in_use")
    assert stripe.refund(payment, amount=100, key=key).headers["Idempotent-Replayed"] == "true"
    assert len(sandbox.ledger.refunds_of(payment)) == 1


def test_many_twins_make_one_refund(sandbox, stripe):
    payment, key = stripe.pay(), new_key()

    def ask(_number):
        merchant = Stripe(sandbox)
        try:
            return merchant.refund(payment, amount=100, key=key).status
        finally:
            merchant.close()

    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(ask, range(40))) <= {200, 409}
    assert len(sandbox.ledger.refunds_of(payment)) == 1


def test_a_500_after_processing_is_replayed_for_ever(sandbox, stripe, control):
    payment, key = stripe.pay(), new_key()
    control("/faults", {"dialect": "stripe", "call": "refund", "what": 500, "when": "after"})
    assert stripe.refund(payment, amount=100, key=key).status == 500
    again = stripe.refund(payment, amount=100, key=key)
    assert (again.status, again.headers["Idempotent-Replayed"]) == (500, "true")
    assert len(sandbox.ledger.refunds_of(payment)) == 1


def test_a_key_has_at_most_255_characters(stripe):
    assert stripe.refund(stripe.pay(), amount=100, key="k" * 256).status == 400
    assert stripe.refund(stripe.pay(), amount=100, key="k" * 255).status == 200


def test_without_a_key_a_repeat_is_a_second_refund(sandbox, stripe):
    payment = stripe.pay()
    stripe.refund(payment, amount=100)
    stripe.refund(payment, amount=100)
    assert len(sandbox.ledger.refunds_of(payment)) == 2
