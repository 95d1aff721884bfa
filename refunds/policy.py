"""Whether a second person has to approve a refund, and why: pure functions of its facts."""

from __future__ import annotations

from django.utils.translation import gettext as _

from gateways.money import Money


def why_approval(amount: Money, before: Money, limit: Money | None) -> str:
    """The sentence why somebody else has to approve a refund, or ''.

    ``before`` went back of the same payment or is on its way: a refund in many parts is asked about
    like a refund in one.
    """
    if limit is None or before.minor + amount.minor <= limit.minor:
        return ""
    if amount.minor > limit.minor:
        return _("Another person has to approve it, because it is more than %s.") % limit
    sentence = _(
        "Another person has to approve it, because with it %(sum)s of this payment go back, more "
        "than %(limit)s."
    )
    return sentence % {"sum": Money(before.minor + amount.minor, amount.currency), "limit": limit}
