"""What an Authorize.net request may look like: its elements, their order and their values.

The processor refuses an element in the wrong place, a value that is too long or a missing
field with E00003 before it looks at anything else, and so does the sandbox. ``_TYPES`` is a
table of the requests that it serves, one line per type, elements in the enforced order:

``name`` is required, ``name?`` optional, ``name*`` may come any number of times, ``a|b`` is
exactly one of them. After a colon stands the type: a line of the table, ``any`` (not looked
into), or what the text must be: ``..20`` and ``4..16`` (length), ``int1..1000`` (range),
``decimal``, ``amount`` (a decimal from zero up), ``boolean``, ``dateTime``, ``date``, ``digits``
(also with a length), or ``{a,b}`` (one of these words).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache, partial

from lxml import etree

from gateways.moments import in_utc

Element = etree._Element  # noqa: SLF001 - lxml has no public name for the type of its elements
NAMESPACE = "AnetApi/xml/v1/schema/AnetApiSchema.xsd"
_XSI = "{http://www.w3.org/2001/XMLSchema-instance}"

_ADDRESS = (
    "firstName?:..50 lastName?:..50 company?:..50 address?:..60 city?:..40 state?:..40 zip?:..20"
    " country?:..60"
)
_ENVELOPE = "merchantAuthentication:Authentication clientId?:..30 refId?:..20"
_TYPES = {
    "authenticateTestRequest": _ENVELOPE,
    "getMerchantDetailsRequest": _ENVELOPE,
    "createTransactionRequest": f"{_ENVELOPE} transactionRequest:Transaction",
    "getSettledBatchListRequest": (
        f"{_ENVELOPE} includeStatistics?:boolean firstSettlementDate?:dateTime"
        " lastSettlementDate?:dateTime"
    ),
    "getTransactionListRequest": f"{_ENVELOPE} batchId?:digits sorting?:Sorting paging?:Paging",
    "getUnsettledTransactionListRequest": (
        f"{_ENVELOPE} status?:{{any,pendingApproval}} sorting?:Sorting paging?:Paging"
    ),
    "getTransactionDetailsRequest": f"{_ENVELOPE} transId:digits",
    "Authentication": (
        "name?:..25 transactionKey?:..16|sessionToken|password:..40|impersonationAuthentication:any"
        "|fingerPrint:any|clientKey|accessToken mobileDeviceId?:..60"
    ),
    "Sorting": "orderBy:{id,submitTimeUTC} orderDescending:boolean",
    "Paging": "limit:int1..1000 offset:int1..100000",
    "Transaction": (
        "transactionType amount?:decimal currencyCode? payment?:Payment profile?:Profile"
        " solution?:Solution callId? terminalNumber? authCode? refTransId? splitTenderId?"
        " order?:Order lineItems?:LineItems tax?:Extended duty?:Extended shipping?:Extended"
        " taxExempt?:boolean poNumber? customer?:Customer billTo?:BillTo shipTo?:ShipTo"
        " customerIP? cardholderAuthentication?:Cardholder retail?:Retail employeeId?"
        " transactionSettings?:Settings userFields?:UserFields surcharge?:Extended"
        " merchantDescriptor? subMerchant?:any tip?:Extended processingOptions?:Options"
        " subsequentAuthInformation?:any otherTax?:any shipFrom?:ShipTo"
        " authorizationIndicatorType?:any"
    ),
    "Payment": (
        "creditCard:Card|bankAccount:Bank|trackData:any|encryptedTrackData:any|payPal:any"
        "|opaqueData:any|emv:any dataSource?"
    ),
    "Card": (
        "cardNumber:4..16 expirationDate:4..7 cardCode?:digits3..4 isPaymentToken?:boolean"
        " cryptogram? tokenRequestorName? tokenRequestorId? tokenRequestorEci?"
    ),
    "Bank": (
        "accountType?:{checking,savings,businessChecking} routingNumber:..9 accountNumber:..17"
        " nameOnAccount:..22 echeckType?:{PPD,WEB,CCD,TEL,ARC,BOC} bankName?:..50 checkNumber?:..15"
    ),
    "Profile": (
        "createProfile?:boolean customerProfileId?:digits paymentProfile?:PaymentProfile"
        " shippingProfileId?:digits"
    ),
    "PaymentProfile": "paymentProfileId:digits cardCode?:digits3..4",
    "Solution": "id name? vendorName?",
    "Order": (
        "invoiceNumber?:..20 description?:..255 discountAmount?:decimal taxIsAfterDiscount?:boolean"
        " totalTaxTypeCode?:..3 purchaserVATRegistrationNumber?:..21"
        " merchantVATRegistrationNumber?:..21 vatInvoiceReferenceNumber?:..15 purchaserCode?:..17"
        " summaryCommodityCode?:..4 purchaseOrderDateUTC?:date supplierOrderReference?:..25"
        " authorizedContactName?:..36 cardAcceptorRefNumber?:..25 amexDataTAA1?:..40"
        " amexDataTAA2?:..40 amexDataTAA3?:..40 amexDataTAA4?:..40"
    ),
    "LineItems": "lineItem*:LineItem",
    "LineItem": (
        "itemId:1..31 name:1..31 description?:..255 quantity:amount unitPrice:amount"
        " taxable?:boolean unitOfMeasure?:..12 typeOfSupply?:..2 taxRate?:decimal"
        " taxAmount?:decimal nationalTax?:decimal localTax?:decimal vatRate?:decimal"
        " alternateTaxId?:..20 alternateTaxType?:..4 alternateTaxTypeApplied?:..4"
        " alternateTaxRate?:decimal alternateTaxAmount?:decimal totalAmount?:decimal"
        " commodityCode?:..15 productCode?:..30 productSKU?:..30 discountRate?:decimal"
        " discountAmount?:decimal taxIncludedInTotal?:boolean taxIsAfterDiscount?:boolean"
    ),
    "Extended": "amount:amount name?:..31 description?:..255",
    "Customer": (
        "type?:{individual,business} id?:..20 email?:..255 driversLicense?:License taxId?:8..9"
    ),
    "License": "number:5..20 state:2..2 dateOfBirth:8..10",
    "BillTo": f"{_ADDRESS} phoneNumber?:..25 faxNumber?:..25 email?",
    "ShipTo": _ADDRESS,
    "Cardholder": "authenticationIndicator cardholderAuthenticationValue",
    "Retail": "marketType? deviceType? customerSignature? terminalNumber?",
    "Settings": "setting*:Setting",
    "Setting": "settingName? settingValue?",
    "UserFields": "userField*:UserField",
    "UserField": "name? value?",
    "Options": (
        "isFirstRecurringPayment?:boolean isFirstSubsequentAuth?:boolean"
        " isSubsequentAuth?:boolean isStoredCredentials?:boolean"
    ),
}
REQUESTS = frozenset(name for name in _TYPES if name.endswith("Request"))


class Refused(Exception):
    """A request that gets an ErrorResponse: the processor's code and text."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text


@dataclass(frozen=True, slots=True)
class _Particle:
    """One place in a sequence: the elements that may stand there, with their types."""

    types: dict[str, str]
    required: bool
    repeatable: bool


def parse_request(body: bytes) -> Element:
    """The root element of a well-formed request that fits the table.

    Raises:
        Refused: E00003 (not XML, a DTD, an element or a value that does not fit), E00004 (a
            call that the sandbox does not serve) or E00045 (wrong namespace).
    """
    # A parser is not shared between threads: it holds the document that it reads.
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise Refused("E00003", f"The document is not well formed: {error}") from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise Refused("E00003", "For security reasons DTD is prohibited in this XML document.")
    name = etree.QName(root)
    if name.namespace != NAMESPACE:
        raise Refused("E00045", "The root node does not reference a valid XML namespace.")
    if name.localname not in REQUESTS:
        raise Refused("E00004", "The name of the requested API method is invalid.")
    _check_sequence(root, _sequence(name.localname))
    return root


def text_at(element: Element, path: str) -> str:
    """The text of the first element at ``path`` (``order/invoiceNumber``), empty where absent."""
    return element.findtext(_qualified(path)) or ""


def elements_at(element: Element, path: str) -> list[Element]:
    """All elements at ``path``."""
    return element.findall(_qualified(path))


@cache
def _qualified(path: str) -> str:
    return "/".join(f"{{{NAMESPACE}}}{step}" for step in path.split("/"))


@cache
def _sequence(type_name: str) -> tuple[_Particle, ...]:
    return tuple(_read_particle(token) for token in _TYPES[type_name].split())


def _read_particle(token: str) -> _Particle:
    names_and_types = (alternative.partition(":") for alternative in token.split("|"))
    return _Particle(
        types={name.rstrip("?*"): kind for name, _, kind in names_and_types},
        required="?" not in token and "*" not in token,
        repeatable="*" in token,
    )


def _check_sequence(element: Element, sequence: tuple[_Particle, ...]) -> None:
    _check_attributes(element)
    if any(part and not part.isspace() for part in (element.text, *(c.tail for c in element))):
        raise Refused("E00003", f"The element {_quoted(element)} cannot contain text.")
    position, seen = 0, False
    for child in element:
        name = etree.QName(child)
        start = position
        while (
            position < len(sequence)
            and (name.namespace != NAMESPACE or name.localname not in sequence[position].types)
            and (seen or not sequence[position].required)
        ):
            position, seen = position + 1, False
        place = sequence[position] if position < len(sequence) else None
        if place is None or name.namespace != NAMESPACE or name.localname not in place.types:
            raise Refused(
                "E00003",
                f"The element {_quoted(element)} has invalid child element '{name.localname}' in"
                f" namespace '{name.namespace or ''}'.{_expected(sequence[start:])}",
            )
        _check_value(child, place.types[name.localname])
        position, seen = (position, True) if place.repeatable else (position + 1, False)
    if any(place.required for place in sequence[position:]):
        raise Refused(
            "E00003",
            f"The element {_quoted(element)} has incomplete content."
            f"{_expected(sequence[position:])}",
        )


def _check_value(element: Element, kind: str) -> None:
    if kind == "any":
        return
    if kind in _TYPES:
        _check_sequence(element, _sequence(kind))
        return
    _check_attributes(element)
    fault = "it has child elements" if len(element) else _check_of(kind)(element.text or "")
    if fault:
        name = etree.QName(element).localname
        raise Refused(
            "E00003",
            f"The '{NAMESPACE}:{name}' element is invalid - The value '{element.text or ''}' is"
            f" invalid according to its datatype - {fault}.",
        )


def _check_attributes(element: Element) -> None:
    for name in map(str, element.attrib):
        if not name.startswith(_XSI):
            raise Refused("E00003", f"The '{name}' attribute is not declared.")


def _quoted(element: Element) -> str:
    return f"'{etree.QName(element).localname}' in namespace '{NAMESPACE}'"


def _expected(rest: tuple[_Particle, ...]) -> str:
    names: list[str] = []
    for place in rest:
        names.extend(place.types)
        if place.required:
            break
    return f" List of possible elements expected: '{', '.join(names)}'." if names else ""


@cache
def _check_of(kind: str) -> Callable[[str], str]:
    """The check of a simple type: from the text to what is wrong with it, empty when nothing."""
    if kind in _PATTERNS:
        return partial(_check_pattern, kind)
    if kind.startswith("{"):
        return partial(_check_word, frozenset(kind.strip("{}").split(",")))
    lowest, _, highest = kind.removeprefix("int").removeprefix("digits").partition("..")
    if kind.startswith("int"):
        return partial(_check_range, int(lowest), int(highest))
    if kind.startswith("digits"):
        return partial(_check_digits, int(lowest), int(highest))
    return partial(_check_length, int(lowest or 0), int(highest) if highest else None)


_PATTERNS = {
    "decimal": re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)"),
    "amount": re.compile(r"\+?([0-9]+(\.[0-9]{0,4}0*)?|\.[0-9]{1,4}0*)"),
    "boolean": re.compile("true|false|1|0"),
    "digits": re.compile("[0-9]+"),
    "date": re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"),
    "dateTime": re.compile(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?"
        r"(Z|[+-][0-9]{2}:[0-9]{2})?"
    ),
}
_CALENDAR: dict[str, Callable[[str], object]] = {
    "date": date.fromisoformat,
    "dateTime": lambda text: in_utc(datetime.fromisoformat(text)),
}


def _check_pattern(kind: str, text: str) -> str:
    # Every one of these but ``digits`` may stand between white space.
    value = text if kind == "digits" else text.strip(" \t\r\n")
    fault = f"The string '{text}' is not a valid {kind} value"
    if not _PATTERNS[kind].fullmatch(value):
        return fault
    if kind in _CALENDAR:
        try:
            _CALENDAR[kind](value)
        except ValueError:
            return fault
    return ""


def _check_word(words: frozenset[str], text: str) -> str:
    return "" if text in words else "The Enumeration constraint failed"


def _check_range(lowest: int, highest: int, text: str) -> str:
    value = text.strip(" \t\r\n")
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", value):
        return f"The string '{text}' is not a valid Int32 value"
    if int(value) < lowest:
        return "The MinInclusive constraint failed"
    return "The MaxInclusive constraint failed" if int(value) > highest else ""


def _check_digits(lowest: int, highest: int, text: str) -> str:
    return _check_pattern("digits", text) or _check_length(lowest, highest, text)


def _check_length(lowest: int, highest: int | None, text: str) -> str:
    if len(text) < lowest:
        return "The actual length is less than the MinLength value"
    if highest is not None and len(text) > highest:
        return "The actual length is greater than the MaxLength value"
    return ""
