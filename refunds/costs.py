"""What a refund costs the business, and when the customer sees the money: sentences for the dialog.

The fees are an account's own, as its contract has them; without any nothing is said.
"""

from __future__ import annotations

from django.utils.translation import gettext as _

from gateways.base import Operation
from gateways.models import ProcessorAccount
from gateways.money import Money
from gateways.registry import gateway_class

# The part of a payment that its processor keeps is told in hundredths of a percent.
_WHOLE = 10_000


def kept_fee(account: ProcessorAccount, amount: Money) -> Money:
    """The processing fee of a refunded amount, which its processor does not give back; rounded."""
    minor = (amount.minor * account.fee_basis_points + _WHOLE // 2) // _WHOLE
    return Money(minor, amount.currency)


def refund_fee(account: ProcessorAccount) -> Money:
    """What the processor takes for a refund, whatever its amount; in a currency of its own."""
    return Money(account.refund_fee_minor, account.refund_fee_currency or "USD")


def cost_in_words(account: ProcessorAccount, amount: Money, operation: Operation) -> str:
    """What refunding the amount costs, or empty where no fee is known."""
    kept, fee = kept_fee(account, amount), refund_fee(account)
    if not (kept.minor or fee.minor):
        return ""
    if operation is Operation.VOID:
        return _("It costs nothing: the payment is never charged.")
    if not fee.minor:
        return _("It costs about %s: the processing fee is not given back.") % kept
    if not kept.minor:
        return _("It costs %s: the processor's fee for a refund.") % fee
    sentence = _("It costs about %(kept)s of processing fees, and %(fee)s for the refund itself.")
    return sentence % {"kept": kept, "fee": fee}


def arrival_in_words(account: ProcessorAccount, operation: Operation) -> str:
    """When the customer sees the money, or empty where nobody has said."""
    said = gateway_class(account.processor).capabilities.arrival_days or (None, None)
    own = (account.arrives_after_days, account.arrives_within_days)
    first, last = own if account.arrives_within_days else said
    if operation is Operation.VOID or last is None:
        return ""
    if not first or first == last:
        return _("The customer sees it within %s business days.") % last
    days = {"first": first, "last": last}
    return _("The customer sees it in %(first)s to %(last)s business days.") % days
