"""How NMI's query shows a payment or refund: a ``transaction`` with its ``action`` elements."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from gateways.money import Money, exponent_of

from .ledger import Ledger, LedgerPayment, LedgerRefund, Movement, SandboxAccount
from .markup import leaf
from .nmi_transactions import order_id_of

_CONDITIONS = {
    # payments
    "authorized": "pending",
    "captured": "pendingsettlement",
    "settled": "complete",
    "voided": "canceled",
    # refunds
    "pending": "pendingsettlement",
    "requires_action": "in_progress",
    "succeeded": "complete",
    "canceled": "canceled",
    # both
    "failed": "failed",
}
# First digit and length of a brand's numbers: 4xxxxxxxxxxx1111.
_NUMBERS = {"mastercard": ("5", 16), "amex": ("3", 15), "discover": ("6", 16), "jcb": ("3", 16)}
_BEFORE_NAME = "partial_payment_id partial_payment_balance platform_id".split()
_ADDRESS = "company address_1 address_2 city state postal_code country".split()
_AFTER_EMAIL = (
    "phone fax cell_phone customertaxid customerid website shipping_first_name shipping_last_name"
    " shipping_address_1 shipping_address_2 shipping_company shipping_city shipping_state"
    " shipping_postal_code shipping_country shipping_email shipping_carrier tracking_number"
    " shipping_date shipping shipping_phone".split()
)


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that happened to a transaction. ``success`` None is not shown at all."""

    kind: str
    amount_minor: int
    at: datetime
    success: bool | None = True
    batch_id: str = ""

    @property
    def source(self) -> str:
        """Settlement is the gateway's own doing."""
        return "internal" if self.kind in ("settle", "return") else "api"


def condition_of(row: Movement) -> str:
    """The processor's word; ``extra["processor_status"]`` overrules it until the row is final."""
    if row.status in ("settled", "voided"):
        return _CONDITIONS[row.status]
    return row.extra.get("processor_status") or _CONDITIONS[row.status]


def order_id(row: Movement) -> str:
    return order_id_of(row) if isinstance(row, LedgerRefund) else row.order_reference


def payment_of(ledger: Ledger, row: Movement) -> LedgerPayment:
    return row if isinstance(row, LedgerPayment) else ledger.payments[row.payment_id]


def card_number(payment: LedgerPayment) -> str:
    """The masked number, empty for a bank account."""
    if payment.method_type == "bank":
        return ""
    first, length = _NUMBERS.get(payment.brand, ("4", 16))
    return first + payment.last4.rjust(length - 1, "x")


def names_of(payment: LedgerPayment) -> tuple[str, str]:
    """First name, and the rest."""
    first, _, last = (payment.payer_name or "").strip().partition(" ")
    return first, last


def actions_of(
    ledger: Ledger, account: SandboxAccount, row: Movement, visible_until: datetime
) -> list[Action]:
    """What happened to a transaction, oldest first.

    In shape B a payment's refunds are among its actions; those after ``visible_until`` are not
    shown yet.
    """
    if isinstance(row, LedgerRefund):
        return _actions_of_refund(row)
    kind = "auth" if row.status == "authorized" else "sale"
    actions = [Action(kind, row.amount_minor, row.created_at, success=row.status != "failed")]
    if row.status == "settled" and row.settled_at:
        actions.append(_settle(row.amount_minor, row.settled_at))
    for later in ledger.refunds_of(row):
        if later.operation == "void":
            shown = True if account.settings.void_shows_success else None
            actions.append(Action("void", row.amount_minor, later.created_at, success=shown))
        elif account.settings.refund_shape == "B" and later.created_at <= visible_until:
            good = later.status not in ("failed", "canceled")
            actions.append(Action("refund", later.amount_minor, later.created_at, success=good))
    if row.dispute in ("open", "chargeback"):
        actions.append(Action("return", -row.amount_minor, row.modified_at or row.created_at))
    return actions


def _actions_of_refund(row: LedgerRefund) -> list[Action]:
    given_back = -row.amount_minor
    actions = [Action("refund", given_back, row.created_at, success=row.status != "failed")]
    if row.status == "succeeded" and row.settled_at:
        actions.append(_settle(given_back, row.settled_at))
    if row.status == "canceled":
        actions.append(Action("void", given_back, row.modified_at or row.created_at))
    return actions


def _settle(amount_minor: int, at: datetime) -> Action:
    return Action("settle", amount_minor, at, batch_id=str(int(at.timestamp()) // 60))


def transaction(ledger: Ledger, row: Movement, actions: list[Action]) -> str:
    """The ``transaction`` element, with empty elements for what nobody filled in."""
    payment = payment_of(ledger, row)
    first_name, last_name = names_of(payment)
    description = row.description if isinstance(row, LedgerPayment) else ""
    is_bank = payment.method_type == "bank"
    return "".join(
        (
            f"<transaction>{leaf('transaction_id', row.id)}{_BLANK_BEFORE_NAME}",
            leaf("transaction_type", "ck" if is_bank else "cc"),
            leaf("condition", condition_of(row)),
            leaf("order_id", order_id(row)),
            "<authorization_code>123456</authorization_code><ponumber></ponumber>",
            leaf("order_description", description),
            leaf("first_name", first_name),
            leaf("last_name", last_name),
            _BLANK_ADDRESS,
            leaf("email", payment.payer_email or ""),
            _BLANK_AFTER_EMAIL,
            _bank(payment) if is_bank else _card(payment),
            "<processor_id>sandbox</processor_id><tax>0.00</tax>",
            leaf("currency", payment.currency),
            "<surcharge></surcharge><cash_discount></cash_discount><tip></tip>",
            leaf("entry_mode", payment.wallet or "keyed"),
            *(_action(action, payment.currency) for action in actions),
            "</transaction>",
        )
    )


def _card(payment: LedgerPayment) -> str:
    return (
        f"{leaf('cc_number', card_number(payment))}<cc_hash></cc_hash><cc_exp>1230</cc_exp>"
        "<cavv></cavv><cavv_result></cavv_result><xid></xid><eci></eci>"
        "<directory_server_id></directory_server_id><three_ds_version></three_ds_version>"
        "<avs_response>N</avs_response><csc_response>M</csc_response>"
        "<cardholder_auth></cardholder_auth><cc_start_date></cc_start_date>"
        "<cc_issue_number></cc_issue_number><check_account></check_account>"
        "<check_hash></check_hash><check_aba></check_aba><check_name></check_name>"
        "<account_holder_type></account_holder_type><account_type></account_type>"
        "<sec_code></sec_code><drivers_license_number></drivers_license_number>"
        f"<cc_bin></cc_bin>{leaf('cc_type', payment.brand)}"
    )


def _bank(payment: LedgerPayment) -> str:
    return (
        "<cc_number></cc_number><cc_hash></cc_hash><cc_exp></cc_exp><avs_response></avs_response>"
        f"<csc_response></csc_response>{leaf('check_account', 'xxxxx' + payment.last4)}"
        "<check_hash></check_hash><check_aba>xxxxx0025</check_aba>"
        f"{leaf('check_name', payment.payer_name or '')}"
        "<account_holder_type>personal</account_holder_type><account_type>checking</account_type>"
        "<sec_code>WEB</sec_code><cc_bin></cc_bin><cc_type></cc_type>"
    )


def _action(action: Action, currency: str) -> str:
    amount, date = _amount(action.amount_minor, currency), f"{action.at:%Y%m%d%H%M%S}"
    shown = action.success is not None
    failed = action.success is False
    return (
        f"<action><amount>{amount}</amount><action_type>{action.kind}</action_type>"
        f"<date>{date}</date>{f'<success>{int(not failed)}</success>' if shown else ''}"
        f"<ip_address></ip_address><source>{action.source}</source>"
        f"<api_method>{'' if action.source == 'internal' else 'direct_post_api'}</api_method>"
        "<username>sandbox</username>"
        f"<response_text>{'DECLINE' if failed else 'SUCCESS'}</response_text>"
        f"<batch_id>{action.batch_id or '0'}</batch_id>"
        f"<processor_batch_id>{action.batch_id}</processor_batch_id>"
        f"<response_code>{'200' if failed else '100'}</response_code>"
        "<processor_response_text></processor_response_text>"
        "<processor_response_code></processor_response_code>"
        f"<requested_amount>{amount}</requested_amount>"
        "<device_license_number></device_license_number>"
        "<device_nickname></device_nickname></action>"
    )


def _amount(minor: int, currency: str) -> str:
    """At least two decimals, for yen too."""
    text = Money(minor, currency).major()
    return text if exponent_of(currency) else f"{text}.00"


def _blank(names: list[str]) -> str:
    return "".join(leaf(name, "") for name in names)


_BLANK_BEFORE_NAME = _blank(_BEFORE_NAME)
_BLANK_ADDRESS = _blank(_ADDRESS)
_BLANK_AFTER_EMAIL = _blank(_AFTER_EMAIL)
