"""The failure playbook: our codes → what happened, in plain words, what to do, and its buttons.

Which processor code is which of ours stands in :mod:`gateways.refusals`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from . import refusals
from .base import FailureCode
from .refusals import OpenCode


class Action(StrEnum):
    """What a person can do about a failure. The screens have a button or a link for each."""

    PULL_AGAIN = "pull_again"  # read the payment from its processor now
    TRY_AGAIN = "try_again"  # one new refund of the same amount
    REFUND_REST = "refund_rest"  # the dialog, with what is left
    CANCEL_WHOLE = "cancel_whole"  # the dialog, with the whole amount: it is voided
    CHECK_NOW = "check_now"  # ask the processor what became of it
    OPEN_ACCOUNT = "open_account"  # the account's credentials and settings
    WRITE_NOTE = "write_note"  # how the customer gets the money otherwise


C, A = FailureCode, Action


@dataclass(frozen=True, slots=True)
class Explanation:
    """Two translated sentences for staff, and what they can do at once, the best first."""

    explanation: str | Promise
    next_step: str | Promise
    actions: tuple[Action, ...]


_PLAYBOOK: dict[FailureCode, Explanation] = {
    C.ALREADY_REFUNDED: Explanation(
        _("This payment was already refunded in full."),
        _("Pull the transaction again: somebody may have refunded it at the processor."),
        (A.PULL_AGAIN,),
    ),
    C.EXCEEDS_REFUNDABLE: Explanation(
        _("The amount is more than what the processor still allows to be refunded."),
        _("Pull the transaction again and refund what is left, or less."),
        (A.PULL_AGAIN, A.REFUND_REST),
    ),
    C.NOT_SETTLED: Explanation(
        _("The payment has not settled yet, so the processor cannot refund it."),
        _("Cancel the whole payment now, or refund it after settlement, usually the next day."),
        (A.CANCEL_WHOLE, A.PULL_AGAIN, A.TRY_AGAIN),
    ),
    C.TOO_OLD: Explanation(
        _("The payment is older than the processor's limit for refunds."),
        _("Pay the customer back another way, such as a bank transfer, and write a note."),
        (A.WRITE_NOTE,),
    ),
    C.DISPUTED: Explanation(
        _("The customer's bank has disputed this payment."),
        _("Do not refund: answer the dispute at the processor. A refund could pay twice."),
        (A.PULL_AGAIN, A.WRITE_NOTE),
    ),
    C.INSUFFICIENT_BALANCE: Explanation(
        _("The balance at the processor does not cover this refund."),
        _("Add funds at the processor, then try again."),
        (A.TRY_AGAIN,),
    ),
    C.DECLINED_BY_BANK: Explanation(
        _("The customer's bank refused the refund."),
        _("Ask the customer for another way to return the money."),
        (A.TRY_AGAIN, A.WRITE_NOTE),
    ),
    C.CARD_NOT_VALID: Explanation(
        _("The card or account that paid can no longer receive money, or its data do not match."),
        _("Pull the transaction again; if it is refused again, return the money another way."),
        (A.PULL_AGAIN, A.TRY_AGAIN, A.WRITE_NOTE),
    ),
    C.PAYMENT_NOT_FOUND: Explanation(
        _("The processor does not know this payment under this account."),
        _("Check that the account belongs to the right business and mode, test or live."),
        (A.OPEN_ACCOUNT, A.PULL_AGAIN),
    ),
    C.NOT_CAPTURED: Explanation(
        _("No money of this payment is kept: it was never taken, or the payment was cancelled."),
        _("Nothing is owed. If it is still authorized, release the hold at the processor."),
        (A.PULL_AGAIN,),
    ),
    C.NOT_REFUNDABLE: Explanation(
        _("The processor does not allow this payment to be refunded."),
        _("Look at the payment at the processor, or return the money another way."),
        (A.PULL_AGAIN, A.WRITE_NOTE),
    ),
    C.NOT_VOIDABLE: Explanation(
        _("The payment can no longer be cancelled; it has probably settled."),
        _("Pull the transaction again and refund it."),
        (A.PULL_AGAIN, A.TRY_AGAIN),
    ),
    C.INVALID_AMOUNT: Explanation(
        _("The processor did not accept the amount."),
        _("Check the amount and the currency's decimals, then start a new refund."),
        (A.REFUND_REST,),
    ),
    C.CURRENCY_NOT_ACCEPTED: Explanation(
        _("The account cannot refund in this currency."),
        _("Ask an administrator to check the account's currencies at the processor."),
        (A.OPEN_ACCOUNT, A.WRITE_NOTE),
    ),
    C.BLOCKED_BY_RULES: Explanation(
        _("Security or fraud rules of the processor account blocked the refund."),
        _("Ask an administrator to look at the rules in the processor's settings."),
        (A.OPEN_ACCOUNT, A.TRY_AGAIN),
    ),
    C.LIMIT_REACHED: Explanation(
        _("A limit of the processor or of the account is reached."),
        _("Contact the processor, or return the money another way."),
        (A.TRY_AGAIN, A.WRITE_NOTE),
    ),
    C.ACCOUNT_PROBLEM: Explanation(
        _("The account at the processor is not set up for this refund."),
        _("Ask an administrator to contact the processor. Nothing was refunded."),
        (A.OPEN_ACCOUNT, A.TRY_AGAIN),
    ),
    C.CREDENTIALS: Explanation(
        _("The processor did not accept our credentials, so nothing was refunded."),
        _("Ask an administrator to enter the credentials again, then try again."),
        (A.OPEN_ACCOUNT, A.TRY_AGAIN),
    ),
    C.UNREACHABLE: Explanation(
        _("The processor could not be reached, so nothing was refunded."),
        _("Try again in a few minutes; if it goes on, look at the processor's status page."),
        (A.TRY_AGAIN,),
    ),
    C.RATE_LIMITED: Explanation(
        _("The processor had too many requests and turned this one away; nothing was refunded."),
        _("Try again in a few minutes."),
        (A.TRY_AGAIN,),
    ),
    C.BAD_REQUEST: Explanation(
        _("The processor found a fault in our request, so nothing was refunded."),
        _("Show this page to the people who run Refund Desk."),
        (A.WRITE_NOTE,),
    ),
    C.RETURNED: Explanation(
        _("The money came back: the customer's bank did not take the refund."),
        _("Ask the customer for another way to return the money."),
        (A.REFUND_REST, A.WRITE_NOTE),
    ),
    C.NOT_MADE: Explanation(
        _("There was no clear answer, and two people found that the refund was not made."),
        _("Try again if the customer is still owed the money."),
        (A.TRY_AGAIN, A.WRITE_NOTE),
    ),
    C.OTHER: Explanation(
        _("The processor refused the refund for a reason that is not in our list."),
        _("Read the processor's own words below, or look at the payment at the processor."),
        (A.PULL_AGAIN, A.TRY_AGAIN, A.WRITE_NOTE),
    ),
}


_OPEN_PLAYBOOK: dict[OpenCode | None, Explanation] = {
    OpenCode.DUPLICATE: Explanation(
        _("The processor says that it knows this refund already. It may be ours."),
        _("Do not send it again: Refund Desk looks for it at the processor."),
        (A.CHECK_NOW,),
    ),
    OpenCode.IN_PROGRESS: Explanation(
        _("The processor is still working on an earlier request for this refund."),
        _("Wait a minute: Refund Desk asks again by itself."),
        (A.CHECK_NOW,),
    ),
    OpenCode.FAULT: Explanation(
        _("Something broke at the processor. The refund may exist, or not."),
        _("Wait: Refund Desk asks until it is known. The money stays reserved meanwhile."),
        (A.CHECK_NOW,),
    ),
    None: Explanation(
        _("There was no answer that proves anything. The refund may exist, or not."),
        _("Wait: Refund Desk asks until it is known. The money stays reserved meanwhile."),
        (A.CHECK_NOW,),
    ),
}
_CODES = {
    "stripe": (refusals.STRIPE,),
    "paypal": (refusals.PAYPAL,),
    "authorizenet": (refusals.AUTHORIZENET,),
    "nmi": (refusals.NMI, refusals.NMI_REJECTIONS),
}


# Of a refund that gave nothing back by itself.
MADE_OTHERWISE = Explanation(
    _("Its money went back under another refund of this payment."),
    _("Ask for a new refund only if the customer is owed more."),
    (),
)
# Of a refund that was not sent because of such another one.
CAME_BACK = Explanation(
    _("It was not sent because its money had gone back, and that has failed or come back since."),
    _("Try again if the customer is still owed the money."),
    (A.TRY_AGAIN,),
)


def explain(code: str) -> Explanation:
    """The words for one of our codes; an unlisted code reads as ``other``."""
    try:
        return _PLAYBOOK[FailureCode(code)]
    except ValueError:
        return _PLAYBOOK[FailureCode.OTHER]


def explain_tried_again(told: Explanation) -> Explanation:
    """The words for a refund that was tried again: what comes next stands with the newer one."""
    return _without_paying(told, _("It was tried again: see the newer refund."))


def explain_replaced(told: Explanation) -> Explanation:
    """The words for a refund when as much was asked for since, by another one."""
    step = _("As much was asked for since. Ask for a new refund only if the customer is owed more.")
    return _without_paying(told, step)


def _without_paying(told: Explanation, next_step: str | Promise) -> Explanation:
    others = tuple(each for each in told.actions if each not in {A.TRY_AGAIN, A.REFUND_REST})
    return told if others == told.actions else Explanation(told.explanation, next_step, others)


def explain_returned(code: str) -> Explanation:
    """The words for a refund that came back after it had succeeded, with the code of why, if any.

    It is not tried again: what is left is refunded, as a new decision.
    """
    if code == C.NOT_MADE:  # people have ruled so
        return _PLAYBOOK[C.NOT_MADE]
    told = explain(code)
    if told is _PLAYBOOK[C.OTHER] or code == C.RETURNED:
        return _PLAYBOOK[C.RETURNED]
    add_funds = _("Add funds at the processor, then refund what is left.")
    return Explanation(
        format_lazy("{} {}", _("The money came back."), told.explanation),
        add_funds if code == C.INSUFFICIENT_BALANCE else told.next_step,
        tuple(A.REFUND_REST if each == A.TRY_AGAIN else each for each in told.actions),
    )


def explain_open(processor: str, processor_code: str) -> Explanation:
    """The words for an answer that leaves the outcome open, listed or not."""
    known = (codes.open.get(processor_code) for codes in _CODES[processor])
    return _OPEN_PLAYBOOK[next((found for found in known if found), None)]
