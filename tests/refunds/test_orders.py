from __future__ import annotations

import string
import uuid

import pytest
from django.utils import timezone

from gateways.base import Operation
from refunds.models import RefundAttempt
from refunds.orders import build_order, dump_order, hash_order, load_order, reference_of


def test_a_reference_is_derived_short_and_different_for_each_attempt():
    refund_id = uuid.UUID("6f0e4dd5-26a6-4b34-8b1c-3df4dfd7a1a9")
    references = [reference_of(refund_id, number) for number in range(1, 6)]
    assert references == [reference_of(refund_id, number) for number in range(1, 6)]
    assert len(set(references)) == 5
    for reference in references:
        assert len(reference) == 20
        assert set(reference) <= set(string.ascii_uppercase + "234567")


@pytest.mark.django_db
def test_a_stored_order_reads_back_as_it_was(make_transaction, ask):
    refund = ask(make_transaction(related_ids="pi_1 pi_2"), 1_234)
    order = build_order(refund, Operation.REFUND, 1)
    dumped = dump_order(order)
    attempt = RefundAttempt(order=dumped)
    assert load_order(attempt) == order
    assert hash_order(dumped) == hash_order(dict(reversed(dumped.items())))
    attempt.first_sent_at = timezone.now()
    again = load_order(attempt, refund_id="re_9")
    assert (again.refund_id, again.first_sent_at) == ("re_9", attempt.first_sent_at)
