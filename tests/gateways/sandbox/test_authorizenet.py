"""The door of Authorize.net's API: who may in, what is answered to nonsense, what faults see."""

import pytest
from authorizenet import apicontractsv1, apicontrollers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree, objectify

from gateways.sandbox.authorizenet import AuthorizeNetDialect
from gateways.sandbox.authorizenet_answers import ERRORS, REASONS
from gateways.sandbox.http import Request
from gateways.sandbox.ledger import SandboxAccount

from .wire import AuthorizeNet, authorizenet_xsd, code_of, pay, send, verdict

PATH = "/authorizenet/xml/v1/request.api"


@pytest.fixture
def account(sandbox):
    return sandbox.ledger.accounts["authorizenet-us"]


@pytest.fixture
def merchant(sandbox, account):
    return AuthorizeNet(sandbox, account)


def test_good_credentials_are_told_so(merchant):
    answer = merchant.call("authenticateTestRequest", ref_id="R-1")
    assert code_of(answer) == ("authenticateTestResponse", "I00001")
    assert answer.findtext("messages/resultCode") == "Ok"
    assert answer.findtext("refId") == "R-1"


def test_answers_in_utf8_with_a_byte_order_mark(sandbox, merchant):
    body = merchant.envelope("authenticateTestRequest")
    status, headers, answer = send(sandbox, PATH, body, content_type="text/xml; charset=utf-8")
    assert status == 200
    assert headers["Content-Type"] == "application/xml; charset=utf-8"
    assert answer.startswith(b'\xef\xbb\xbf<?xml version="1.0" encoding="utf-8"?>')


@pytest.mark.parametrize(
    ("authentication", "code"),
    [
        ("<name>sandboxLogin1</name><transactionKey>wrong</transactionKey>", "E00007"),
        ("<name>nobody</name><transactionKey>sandboxKey123456</transactionKey>", "E00007"),
        ("<name>sandboxLogin1</name>", "E00005"),
        ("<name>sandboxLogin1</name><sessionToken>t</sessionToken>", "E00005"),
        ("<transactionKey>sandboxKey123456</transactionKey>", "E00006"),
        ("<name>sandboxLogin1</name><transactionKey>seventeen letters</transactionKey>", "E00003"),
    ],
)
def test_bad_credentials_are_refused(merchant, authentication, code):
    good = "<name>sandboxLogin1</name><transactionKey>sandboxKey123456</transactionKey>"
    body = merchant.envelope("authenticateTestRequest").replace(
        good.encode(), authentication.encode()
    )
    status, answer = merchant.post(body)
    assert status == 200
    assert code_of(answer) == ("ErrorResponse", code)
    assert answer.findtext("messages/resultCode") == "Error"


def test_a_key_opens_its_own_account_only(sandbox, account, merchant):
    other = SandboxAccount(
        "authorizenet-eu",
        "authorizenet",
        {"api_login_id": "euLogin", "transaction_key": "euKey", "signature_key": "AB"},
        ("EUR",),
    )
    sandbox.ledger.add_account(other)
    payment = pay(sandbox, account)
    stranger = AuthorizeNet(sandbox, other)
    assert code_of(stranger.details(payment.id)) == ("ErrorResponse", "E00040")
    assert verdict(stranger.void(payment.id)) == ("3", "16", "0")
    assert code_of(merchant.details(payment.id))[0] == "getTransactionDetailsResponse"


def test_says_whose_account_it_is(merchant):
    answer = merchant.call("getMerchantDetailsRequest")
    assert answer.findtext("merchantName") == "authorizenet-us"
    assert [element.text for element in answer.iter("currency")] == ["USD"]
    assert answer.findtext("isTestMode") == "false"


def test_takes_nothing_but_xml_posted_to_its_address(sandbox, merchant):
    status, answer = merchant.post(b'{"authenticateTestRequest": {}}', "application/json")
    assert (status, *code_of(answer)) == (200, "ErrorResponse", "E00002")
    status, _, body = send(sandbox, PATH, None, method="GET")
    assert (status, b"E00002" in body) == (200, True)
    status, _, body = send(sandbox, "/authorizenet/xml/v2/request.api", b"<a/>")
    assert (status, b"E00001" in body) == (404, True)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(junk=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_nonsense_is_answered_in_the_processors_own_words(sandbox, junk):
    dialect = sandbox.dialect_at(PATH)
    headers = {"content-type": "application/xml"}
    request = Request("POST", "/xml/v1/request.api", [], headers, junk)
    assert dialect.call_name(request) == "other"
    reply = dialect.handle(request)
    assert reply.status == 200
    assert etree.fromstring(reply.body).tag.endswith("}ErrorResponse")


def test_names_its_calls_for_faults(sandbox, merchant):
    dialect = sandbox.dialect_at(PATH)

    def name_of(body):
        return dialect.call_name(Request("POST", "/xml/v1/request.api", [], {}, body))

    assert {
        name: name_of(merchant.envelope(f"{name}Request", ref_id="R1"))
        for name in ("authenticateTest", "getTransactionDetails", "getSettledBatchList", "isAlive")
    } == {
        "authenticateTest": "check_credentials",
        "getTransactionDetails": "get_payment",
        "getSettledBatchList": "list_batches",
        "isAlive": "other",
    }
    money = merchant.envelope("createTransactionRequest", "<transactionType>{}</transactionType>")
    assert name_of(money.replace(b"{}", b"refundTransaction")) == "refund"
    assert name_of(money.replace(b"{}", b" voidTransaction ")) == "void"
    assert name_of(money.replace(b"{}", b"authOnlyTransaction")) == "other"


@pytest.mark.parametrize("status", [401, 403, 429, 500])
def test_faults_speak_its_language(sandbox, status):
    reply = sandbox.dialect_at(PATH).refusal(status)
    assert reply.status == status
    assert etree.fromstring(reply.body).tag.endswith("}ErrorResponse")


def test_every_refusal_can_be_asked_for_by_its_code(sandbox):
    dialect = sandbox.dialect_at(PATH)
    for code in [*map(str, REASONS), *ERRORS]:
        root = etree.fromstring(dialect.refusal_with(code).body)
        assert code in root.xpath("//*[local-name()='errorCode' or local-name()='code']/text()")
        if authorizenet_xsd() is not None:
            authorizenet_xsd().assertValid(root)
    assert dialect.refusal_with("no such code") is None


def test_the_official_classes_build_what_it_takes_and_read_what_it_says(sandbox, account, merchant):
    payment = pay(sandbox, account, major="80.00", payer_name="José <Ñandú> & Żółw")
    refunded = official_answer(merchant, "createTransactionController", official_refund(payment))
    assert str(refunded.messages.resultCode) == "Ok"
    assert str(refunded.transactionResponse.responseCode) == "1"
    assert str(refunded.transactionResponse.refTransID) == payment.id

    ask = apicontractsv1.getTransactionDetailsRequest(transId=payment.id)
    details = official_answer(merchant, "getTransactionDetailsController", ask)
    assert str(details.transaction.billTo.firstName) == "José"
    assert str(details.transaction.billTo.lastName) == "<Ñandú> & Żółw"

    paging = apicontractsv1.Paging(limit=1000, offset=1)
    sorting = apicontractsv1.TransactionListSorting(orderBy="submitTimeUTC", orderDescending=True)
    ask = apicontractsv1.getUnsettledTransactionListRequest(sorting=sorting, paging=paging)
    waiting = official_answer(merchant, "getUnsettledTransactionListController", ask)
    listed = list(waiting.transactions.transaction)
    assert [str(entry.invoiceNumber) for entry in listed] == ["A1B2C3"]
    assert listed[0].settleAmount == 80


def official_refund(payment):
    card = apicontractsv1.creditCardType(cardNumber=payment.last4, expirationDate="XXXX")
    settings_ = apicontractsv1.ArrayOfSetting()
    settings_.setting.append(
        apicontractsv1.settingType(settingName="duplicateWindow", settingValue="28800")
    )
    transaction = apicontractsv1.transactionRequestType(
        transactionType="refundTransaction",
        amount="80.00",
        payment=apicontractsv1.paymentType(creditCard=card),
        refTransId=payment.id,
        order=apicontractsv1.orderType(invoiceNumber="A1B2C3"),
        transactionSettings=settings_,
    )
    return apicontractsv1.createTransactionRequest(refId="A1B2C3", transactionRequest=transaction)


def official_answer(merchant, controller, ask):
    """The answer as the official classes read it; they build the request, too."""
    credentials = merchant.account.credentials
    ask.merchantAuthentication = apicontractsv1.merchantAuthenticationType(
        name=credentials["api_login_id"], transactionKey=credentials["transaction_key"]
    )
    module = getattr(apicontrollers, controller)
    builder = getattr(module, controller, module)(ask)
    builder.setClientId()
    body = builder.buildrequest()
    if authorizenet_xsd() is not None:
        authorizenet_xsd().assertValid(etree.fromstring(body))
    _, _, answer = send(merchant.sandbox, PATH, body, content_type="application/xml")
    read = apicontractsv1.CreateFromDocument(answer.decode("utf-8-sig"))
    # As the official controllers do: their own objects lose repeated elements.
    return objectify.fromstring(read.toxml(encoding="utf-8"))


def test_is_one_of_the_four(sandbox):
    assert isinstance(sandbox.dialect_at(PATH), AuthorizeNetDialect)


def test_takes_no_money(sandbox, merchant):
    charge = (
        "<transactionRequest><transactionType>{}</transactionType><amount>1.00</amount>"
        "</transactionRequest>"
    )
    answer = merchant.call("createTransactionRequest", charge.format("authCaptureTransaction"))
    assert verdict(answer) == ("3", "123", "0")
    answer = merchant.call("createTransactionRequest", charge.format("giveMeMoney"))
    assert code_of(answer) == ("ErrorResponse", "E00013")
    assert sandbox.ledger.payments == {}


def test_faults_change_the_echo_or_bring_a_refusal(sandbox, account, merchant):
    payment = pay(sandbox, account)
    sandbox.faults.arm({"dialect": "authorizenet", "call": "refund", "what": "wrong_echo"})
    answer = merchant.refund(payment, "1.00")
    assert verdict(answer)[0] == "1"
    assert answer.findtext("transactionResponse/refTransID") != payment.id
    assert sandbox.ledger.refunded_minor(payment) == 100
    sandbox.arm({"dialect": "authorizenet", "call": "refund", "what": "refusal", "code": "50"})
    assert verdict(merchant.refund(payment, "2.00", reference="R2")) == ("3", "50", "0")
    assert sandbox.ledger.refunded_minor(payment) == 100
