"""NMI accounts that list refunds as actions of the payment, without ids (fact: unverified which)."""

from __future__ import annotations

from refunds.execution import send_refund
from refunds.models import Refund

from .desk import Desk
from .unreferenced import only_nmi, record_listed


def pull(desk: Desk) -> list[int]:
    """One sync of refunds; the amounts of all rows that came from outside."""
    for counts in record_listed(desk):
        assert not counts.rejected
    outside = Refund.objects.filter(origin="external").order_by("created_at", "processor_refund_id")
    return list(outside.values_list("amount_minor", flat=True))


@only_nmi
def test_refunds_without_ids_are_recorded_once_and_ours_not_at_all(desk: Desk):
    desk.post("accounts", account=desk.name, refund_shape="B")
    transaction = desk.pay()
    desk.post("refunds", payment_id=transaction.external_id, amount="5.00")
    assert pull(desk) == [500]
    for minor in (500, 700, 700):
        transaction.refresh_from_db()
        send_refund(desk.ask(transaction, minor).pk)
    desk.post("refunds", payment_id=transaction.external_id, amount="7.00")
    assert pull(desk) == [500, 700]
    assert pull(desk) == [500, 700]
    assert desk.sums(transaction) == (0, 500 + 500 + 700 + 700 + 700)
    assert sum(desk.given_back(transaction)) == 3_100
