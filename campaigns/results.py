"""The result of a campaign as a file: every payment, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.translation import gettext_lazy as _

from transactions.exports import BYTE_ORDER_MARK, as_text, csv_part

from .models import Campaign, CampaignItem

_PAGE = 1000
_HEADINGS = (
    _("Payment"), _("Account"), _("Customer"), _("E-mail"), _("Order"), _("Currency"),
    _("Amount"), _("State"), _("Why"), _("Refund"), _("Status"), _("Processor's id"), _("Failure"),
)  # fmt: skip


def result_lines(campaign: Campaign) -> Iterator[bytes]:
    """The lines of a CSV file, a page at a time. Text that could be a formula begins with ``'``."""
    yield csv_part([[str(heading) for heading in _HEADINGS]], mark=BYTE_ORDER_MARK)
    items = campaign.items.select_related("transaction__account", "refund").order_by("pk")
    last = 0
    while page := list(items.filter(pk__gt=last)[:_PAGE]):
        yield csv_part([_cells(item) for item in page])
        last = page[-1].pk


def _cells(item: CampaignItem) -> list[str]:
    payment, refund = item.transaction, item.refund
    told = [
        payment.external_id if payment else item.named,
        payment.account.slug if payment else "",
        payment.customer_name if payment else "",
        payment.customer_email if payment else "",
        payment.order_reference if payment else "",
        item.currency,
        item.amount.major() if item.amount_minor else item.typed,
        item.get_state_display(),
        item.why,
        str(refund.pk) if refund else "",
        refund.get_status_display() if refund else "",
        (refund.processor_refund_id or "") if refund else "",
        refund.failure_message if refund else "",
    ]
    return [as_text(cell) for cell in told]
