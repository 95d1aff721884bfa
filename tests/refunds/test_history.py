from __future__ import annotations

import pytest

from audit.chains import first_break
from refunds.history import CHAINS, record_event
from refunds.models import RefundEvent

from .raw import triggers_off

pytestmark = pytest.mark.django_db


@pytest.fixture
def chain(make_transaction, ask):
    refund = ask(make_transaction(), 1_000)
    for number in range(4):
        record_event(refund, "noted", data={"number": number, "name": "Łukasz | Ωmega"})
    return list(RefundEvent.objects.all())


def test_an_untouched_chain_holds(chain):
    assert [event.sequence for event in chain] == list(range(1, len(chain) + 1))
    assert all(a.hash == b.previous_hash for a, b in zip(chain, chain[1:], strict=False))
    assert first_break(CHAINS[0]) is None


def broken_after(change) -> int | None:
    with triggers_off():
        change()
    found = first_break(CHAINS[0])
    return found.sequence if found else None


def test_a_changed_row_is_named(chain):
    assert broken_after(lambda: RefundEvent.objects.filter(sequence=3).update(data={"n": 9})) == 3


def test_a_removed_row_is_noticed(chain):
    assert broken_after(lambda: RefundEvent.objects.filter(sequence=2)._raw_delete("default")) == 3


def test_a_row_with_a_hash_of_its_own_making_is_noticed(chain):
    def forge() -> None:
        row = RefundEvent.objects.get(sequence=4)
        RefundEvent.objects.filter(sequence=4).update(kind="other", hash="f" * 64)
        RefundEvent.objects.filter(sequence=5).update(previous_hash="f" * 64)
        assert row.hash != "f" * 64

    assert broken_after(forge) == 4
