"""Refunds and voids at Authorize.net, the duplicate window, and who may do what when."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from gateways.sandbox.authorizenet_answers import REASONS, response_code_of
from gateways.sandbox.ledger import LedgerRefund

from .wire import AuthorizeNet, code_of, ids, pass_cutoff, pay, verdict

BILL_TO = "<billTo><firstName>{}</firstName></billTo>"


@pytest.fixture
def account(sandbox):
    return sandbox.ledger.accounts["authorizenet-us"]


@pytest.fixture
def merchant(sandbox, account):
    return AuthorizeNet(sandbox, account)


def refunded(sandbox, payment):
    return sandbox.ledger.refunded_minor(payment)


def test_a_refund_is_a_transaction_of_its_own(sandbox, account, merchant):
    payment = pay(sandbox, account)
    answer = merchant.refund(payment, "12.5", reference="REF1", ref_id="ID1")
    code, reason, refund_id = verdict(answer)
    assert (code, reason) == ("1", "1")
    assert refund_id not in ("0", payment.id)
    assert answer.findtext("refId") == "ID1"
    assert answer.findtext("transactionResponse/refTransID") == payment.id
    assert answer.findtext("transactionResponse/accountNumber") == "XXXX1111"
    assert answer.findtext("transactionResponse/accountType") == "Visa"
    refund = sandbox.ledger.refunds[refund_id]
    assert (refund.amount_minor, refund.reference, refund.status) == (1250, "REF1", "pending")


def test_settles_at_the_cutoff(sandbox, account, merchant):
    payment = pay(sandbox, account)
    refund_id = verdict(merchant.refund(payment, "10.00"))[2]

    def status():
        return merchant.details(refund_id).findtext("transaction/transactionStatus")

    assert status() == "refundPendingSettlement"
    pass_cutoff(sandbox)
    assert status() == "refundSettledSuccessfully"


def test_gives_back_in_parts_until_nothing_is_left(sandbox, account, merchant):
    payment = pay(sandbox, account, major="100.00")
    for number, amount in enumerate(("33.33", "33.33", "33.33", "0.01")):
        assert verdict(merchant.refund(payment, amount, reference=f"P{number}"))[0] == "1"
    assert refunded(sandbox, payment) == 10_000
    assert verdict(merchant.refund(payment, "0.01", reference="P9")) == ("3", "55", "0")
    assert refunded(sandbox, payment) == 10_000


def test_more_than_was_paid_is_refused(sandbox, account, merchant):
    payment = pay(sandbox, account)
    answer = merchant.refund(payment, "100.01")
    assert verdict(answer) == ("3", "55", "0")
    assert code_of(answer) == ("createTransactionResponse", "E00027")
    assert answer.findtext("messages/resultCode") == "Error"
    assert sandbox.ledger.refunds == {}


@pytest.mark.parametrize("amount", ["0", "0.00", "-1.00", "1.005", "100000000000000000"])
def test_an_amount_that_is_none_is_refused(sandbox, account, merchant, amount):
    assert verdict(merchant.refund(pay(sandbox, account), amount)) == ("3", "5", "0")
    assert sandbox.ledger.refunds == {}


@pytest.mark.parametrize("amount", ["1e3", "NaN", "", "1,00", "$1"])
def test_text_that_is_no_decimal_is_a_schema_fault(sandbox, account, merchant, amount):
    answer = merchant.refund(pay(sandbox, account), amount)
    assert code_of(answer) == ("ErrorResponse", "E00003")


def test_a_refund_without_amount_is_refused(sandbox, account, merchant):
    payment = pay(sandbox, account)
    answer = merchant.call(
        "createTransactionRequest",
        "<transactionRequest><transactionType>refundTransaction</transactionType><payment>"
        "<creditCard><cardNumber>1111</cardNumber><expirationDate>XXXX</expirationDate>"
        f"</creditCard></payment><refTransId>{payment.id}</refTransId></transactionRequest>",
    )
    assert verdict(answer) == ("3", "5", "0")


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"status": "captured"}, "waits for settlement"),
        ({"status": "authorized"}, "was never captured"),
        ({"status": "voided"}, "was called off"),
        ({"status": "failed"}, "was declined"),
        ({"days_ago": 181}, "is too old"),
        ({"dispute": "chargeback"}, "is disputed"),
        ({"last4": "9999"}, "was made with another card"),
    ],
)
def test_does_not_meet_the_criteria_when_it(sandbox, account, merchant, facts, why):
    payment = pay(sandbox, account, **facts)
    assert verdict(merchant.refund(payment, "1.00", card="1111")) == ("3", "54", "0"), why


def test_is_too_old_180_days_after_its_settlement(sandbox, account, merchant):
    settled_at = sandbox.clock.now() - timedelta(days=179, hours=23)
    payment = pay(sandbox, account, days_ago=182, settled_at=settled_at)
    assert verdict(merchant.refund(payment, "1.00", reference="A"))[0] == "1"
    sandbox.clock.advance(timedelta(hours=2))
    assert verdict(merchant.refund(payment, "1.00", reference="B")) == ("3", "54", "0")


@pytest.mark.parametrize(
    ("ref_trans_id", "reason"), [("60000000000", "16"), ("none", "15"), ("", "54")]
)
def test_the_original_must_be_there(sandbox, account, merchant, ref_trans_id, reason):
    answer = merchant.refund(pay(sandbox, account), "1.00", ref_trans_id=ref_trans_id)
    assert verdict(answer) == ("3", reason, "0")


@pytest.mark.parametrize(
    ("payment_element", "reason"),
    [
        ("<creditCard><cardNumber>XXXX11</cardNumber><expirationDate>XXXX</expirationDate></creditCard>", "6"),
        ("<creditCard><cardNumber>1111</cardNumber><expirationDate>9999</expirationDate></creditCard>", "7"),
        ("<bankAccount><routingNumber>12</routingNumber><accountNumber>1111</accountNumber><nameOnAccount>A</nameOnAccount></bankAccount>", "9"),
        ("<bankAccount><routingNumber>XXXX0025</routingNumber><accountNumber>x</accountNumber><nameOnAccount>A</nameOnAccount></bankAccount>", "10"),
    ],
)  # fmt: skip
def test_the_means_of_payment_must_be_readable(sandbox, account, merchant, payment_element, reason):
    answer = merchant.refund(pay(sandbox, account), "1.00", means=payment_element)
    assert verdict(answer) == ("3", reason, "0")


@pytest.mark.parametrize("card", ["1111", "XXXX1111", "4111111111111111"])
def test_takes_the_card_in_three_forms(sandbox, account, merchant, card):
    assert verdict(merchant.refund(pay(sandbox, account), "1.00", card=card))[0] == "1"


def test_gives_back_to_a_bank_account(sandbox, account, merchant):
    payment = pay(sandbox, account, method_type="bank", brand="ach", last4="6789")
    bank = (
        "<bankAccount><routingNumber>XXXX0025</routingNumber><accountNumber>XXXX6789"
        "</accountNumber><nameOnAccount>Ada Lovelace</nameOnAccount></bankAccount>"
    )
    answer = merchant.refund(payment, "1.00", means=bank)
    assert verdict(answer)[0] == "1"
    assert answer.findtext("transactionResponse/accountType") == "eCheck"


def test_other_means_of_payment_are_refused_whole(sandbox, account, merchant):
    track = "<trackData><track1>x</track1></trackData>"
    answer = merchant.refund(pay(sandbox, account), "1.00", means=track)
    assert code_of(answer) == ("ErrorResponse", "E00155")
    profile = (
        "<transactionRequest><transactionType>refundTransaction</transactionType>"
        "<amount>1.00</amount><profile><customerProfileId>1</customerProfileId></profile>"
        "</transactionRequest>"
    )
    answer = merchant.call("createTransactionRequest", profile)
    assert code_of(answer) == ("ErrorResponse", "E00040")
    nothing = (
        "<transactionRequest><transactionType>refundTransaction</transactionType>"
        "<amount>1.00</amount></transactionRequest>"
    )
    assert verdict(merchant.call("createTransactionRequest", nothing)) == ("3", "33", "0")


def test_knows_one_currency(sandbox, account, merchant):
    payment = pay(sandbox, account)
    euro = "<currencyCode>EUR</currencyCode>"
    assert verdict(merchant.refund(payment, "1.00", currency=euro)) == ("3", "39", "0")
    dollar = "<currencyCode>USD</currencyCode>"
    assert verdict(merchant.refund(payment, "1.00", currency=dollar))[0] == "1"


def test_the_same_request_again_is_a_duplicate_and_names_the_first(sandbox, account, merchant):
    payment = pay(sandbox, account)
    first = verdict(merchant.refund(payment, "10.00"))[2]
    assert verdict(merchant.refund(payment, "10.00")) == ("3", "11", first)
    assert refunded(sandbox, payment) == 1000


def test_forty_at_once_are_one_refund(sandbox, account, merchant):
    payment = pay(sandbox, account)
    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: verdict(merchant.refund(payment, "60.00")), range(40)))
    refund_id = next(iter(sandbox.ledger.refunds))
    assert sorted(answers) == [("1", "1", refund_id), *[("3", "11", refund_id)] * 39]


def test_forty_different_ones_at_once_do_not_exceed_the_payment(sandbox, account, merchant):
    payment = pay(sandbox, account)
    with ThreadPoolExecutor(40) as pool:
        answers = pool.map(
            lambda number: verdict(merchant.refund(payment, "60.00", reference=f"R{number}"))[1],
            range(40),
        )
        assert sorted(answers) == ["1", *["55"] * 39]


def test_neither_the_original_nor_the_ref_id_is_compared(sandbox, account, merchant):
    first = verdict(merchant.refund(pay(sandbox, account), "10.00", ref_id="A"))[2]
    again = merchant.refund(pay(sandbox, account), "10.00", ref_id="B")
    assert verdict(again) == ("3", "11", first)


@pytest.mark.parametrize(
    "other",
    [
        {"amount": "10.01"},
        {"reference": "R2"},
        {"card": "XXXX1111"},
        {"window": "28799"},
        {"window": None},
        {"after_order": BILL_TO.format("Ada")},
        {"after_order": "<poNumber>7</poNumber>"},
        {"after_order": "<customer><id>7</id></customer>"},
    ],
)
def test_any_compared_field_that_differs_makes_another_refund(sandbox, account, merchant, other):
    payment = pay(sandbox, account)
    merchant.refund(payment, "10.00")
    answer = merchant.refund(payment, other.pop("amount", "10.00"), **other)
    assert verdict(answer)[0] == "1"
    assert refunded(sandbox, payment) >= 2000


def test_the_window_ends(sandbox, account, merchant):
    payment = pay(sandbox, account)
    merchant.refund(payment, "10.00", window="600")
    sandbox.clock.advance(timedelta(seconds=590))
    assert verdict(merchant.refund(payment, "10.00", window="600"))[1] == "11"
    sandbox.clock.advance(timedelta(seconds=20))
    assert verdict(merchant.refund(payment, "10.00", window="600"))[1] == "1"
    assert refunded(sandbox, payment) == 2000


def test_two_minutes_when_no_window_is_sent_and_no_id_in_the_answer(sandbox, account, merchant):
    payment = pay(sandbox, account)
    merchant.refund(payment, "10.00", window=None)
    sandbox.clock.advance(timedelta(seconds=100))
    assert verdict(merchant.refund(payment, "10.00", window=None)) == ("3", "11", "0")
    sandbox.clock.advance(timedelta(seconds=30))
    assert verdict(merchant.refund(payment, "10.00", window=None))[0] == "1"


def test_a_window_of_zero_protects_nothing(sandbox, account, merchant):
    payment = pay(sandbox, account)
    for _ in range(2):
        assert verdict(merchant.refund(payment, "10.00", window="0"))[0] == "1"


@pytest.mark.parametrize("window", ["28801", "-1", "x", "1.5", ""])
def test_a_window_that_cannot_be(sandbox, account, merchant, window):
    answer = merchant.refund(pay(sandbox, account), "1.00", window=window)
    assert code_of(answer) == ("ErrorResponse", "E00013")


def test_a_refused_refund_is_no_first_submission(sandbox, account, merchant):
    payment = pay(sandbox, account, status="captured", days_ago=0)
    assert verdict(merchant.refund(payment, "10.00"))[1] == "54"
    pass_cutoff(sandbox)
    assert verdict(merchant.refund(payment, "10.00"))[0] == "1"


def test_expanded_credit_checks_neither_sum_nor_original(sandbox, account, merchant):
    account.settings.expanded_credit = True
    payment = pay(sandbox, account, major="10.00", status="captured")
    for number in range(3):
        assert verdict(merchant.refund(payment, "10.00", reference=f"E{number}"))[0] == "1"
    assert refunded(sandbox, payment) == 3000
    code, _, credit_id = verdict(merchant.refund(payment, "5.00", ref_trans_id="60000000000"))
    assert code == "1"
    details = merchant.details(credit_id)
    assert details.findtext("transaction/refTransId") is None
    assert details.findtext("transaction/payment/creditCard/cardNumber") == "XXXX1111"


def test_a_void_keeps_the_id_and_calls_the_whole_payment_off(sandbox, account, merchant):
    payment = pay(sandbox, account, status="captured", days_ago=0)
    answer = merchant.void(payment.id, ref_id="V7")
    assert verdict(answer) == ("1", "1", payment.id)
    assert answer.findtext("transactionResponse/refTransID") == payment.id
    assert answer.findtext("refId") == "V7"
    details = merchant.details(payment.id)
    assert details.findtext("transaction/transactionStatus") == "voided"
    assert ids(merchant.unsettled()) == [payment.id]
    again = merchant.void(payment.id)
    assert verdict(again) == ("1", "310", "0")
    assert code_of(again) == ("createTransactionResponse", "I00001")
    assert verdict(merchant.refund(payment, "1.00"))[1] == "54"


def test_an_authorization_can_be_voided(sandbox, account, merchant):
    payment = pay(sandbox, account, status="authorized")
    assert verdict(merchant.void(payment.id)) == ("1", "1", payment.id)


def test_what_has_settled_cannot_be_voided(sandbox, account, merchant):
    payment = pay(sandbox, account)
    assert verdict(merchant.void(payment.id)) == ("1", "311", "0")
    refund_id = verdict(merchant.refund(payment, "10.00"))[2]
    pass_cutoff(sandbox)
    assert verdict(merchant.void(refund_id)) == ("1", "311", "0")
    assert refunded(sandbox, payment) == 1000


@pytest.mark.parametrize("trans_id", ["60000000000", "x", ""])
def test_what_is_not_there_cannot_be_voided(merchant, trans_id):
    assert verdict(merchant.void(trans_id)) == ("3", "16", "0")


def test_what_was_declined_cannot_be_voided(sandbox, account, merchant):
    payment = pay(sandbox, account, status="failed")
    assert verdict(merchant.void(payment.id)) == ("3", "16", "0")


def test_a_refund_that_waits_can_be_voided(sandbox, account, merchant):
    payment = pay(sandbox, account)
    refund_id = verdict(merchant.refund(payment, "100.00"))[2]
    assert verdict(merchant.void(refund_id)) == ("1", "1", refund_id)
    assert verdict(merchant.void(refund_id)) == ("1", "310", "0")
    assert refunded(sandbox, payment) == 0
    assert merchant.details(refund_id).findtext("transaction/transactionStatus") == "voided"
    assert verdict(merchant.refund(payment, "100.00", reference="R2"))[0] == "1"


def test_a_void_has_no_id_of_its_own(sandbox, account, merchant):
    payment = pay(sandbox, account, status="captured")
    record = LedgerRefund(
        id="60000000777",
        payment_id=payment.id,
        dialect=account.dialect,
        account=account.name,
        amount_minor=payment.amount_minor,
        currency="USD",
        status="succeeded",
        created_at=sandbox.clock.now(),
        operation="void",
        origin="dashboard",
    )
    sandbox.ledger.void(payment, record)
    assert code_of(merchant.details(record.id)) == ("ErrorResponse", "E00040")
    assert verdict(merchant.void(record.id)) == ("3", "16", "0")
    assert ids(merchant.unsettled()) == [payment.id]


def test_some_processors_do_not_void_refunds(sandbox, account, merchant):
    account.settings.voids_refunds = False
    refund_id = verdict(merchant.refund(pay(sandbox, account), "100.00"))[2]
    assert verdict(merchant.void(refund_id)) == ("3", "175", "0")


@pytest.mark.parametrize("reason", [2, 5, 11, 16, 19, 50, 54, 55, 128])
def test_the_test_card_brings_back_any_reason(sandbox, account, merchant, reason):
    payment = pay(sandbox, account, last4="2222", major="900.00")
    answer = merchant.refund(payment, f"{reason}.00")
    assert verdict(answer) == (str(response_code_of(reason)), str(reason), "0")
    assert answer.findtext(".//errorText") == REASONS[reason]
    assert sandbox.ledger.refunds == {}
    assert verdict(merchant.refund(payment, f"{reason}.11"))[0] == "1"


def test_the_test_card_can_be_held_for_review(sandbox, account, merchant):
    payment = pay(sandbox, account, last4="2222", major="900.00")
    code, reason, refund_id = verdict(merchant.refund(payment, "253.00"))
    assert (code, reason) == ("4", "253")
    pass_cutoff(sandbox)
    assert ids(merchant.unsettled("<status>pendingApproval</status>")) == [refund_id]
    details = merchant.details(refund_id)
    assert details.findtext("transaction/transactionStatus") == "FDSPendingReview"
    assert details.findtext("transaction/responseCode") == "4"


def test_unknown_settings_are_refused_and_user_fields_come_back(sandbox, account, merchant):
    payment = pay(sandbox, account)
    fields = (
        "<transactionSettings><setting><settingName>emailCustomer</settingName>"
        "<settingValue>true</settingValue></setting></transactionSettings>"
        "<userFields><userField><name>desk</name><value>7 &lt; 8</value></userField></userFields>"
    )
    answer = merchant.refund(payment, "1.00", window=None, after_order=fields)
    assert answer.findtext("transactionResponse/userFields/userField/value") == "7 < 8"
    fields = fields.replace("emailCustomer", "duplicateWindows")
    answer = merchant.refund(payment, "2.00", window=None, after_order=fields)
    assert code_of(answer) == ("ErrorResponse", "E00013")
