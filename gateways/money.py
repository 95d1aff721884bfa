"""Money in minor units: the only way amounts travel in this project.

An amount is an integer number of the currency's minor units (cents, yen, fils) by
ISO 4217. Text becomes money only through :func:`parse_amount`, money becomes text only
through :meth:`Money.major`. Processors that count differently (Stripe's ISK, PayPal's
HUF) are converted inside their adapter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# ISO 4217 currencies whose exponent is not 2, of those that a processor may report.
_EXPONENTS = {
    **dict.fromkeys(
        "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(), 0
    ),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
}

# The active ISO 4217 alphabetic codes that name money people pay with (no metals, no test codes).
CURRENCIES = frozenset(
    """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP
    BYN BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP
    GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR
    KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK
    MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR
    SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS
    UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW
    """.split()
)

# The largest amount that one row may hold, in minor units: what the database checks, too.
MAX_MINOR = 99_999_999_999

_AMOUNT = re.compile(r"[0-9]{1,10}(\.[0-9]{1,3})?", re.ASCII)


class InvalidAmount(ValueError):
    """Text that is not an amount. ``code`` is stable, ``params`` fill the sentence for people."""

    def __init__(self, code: str, **params: str | int) -> None:
        super().__init__(code)
        self.code = code
        self.params = params


@dataclass(frozen=True, slots=True)
class Money:
    """``minor`` units of ``currency`` (ISO 4217, upper case). May be zero or negative."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        if type(self.minor) is not int:
            raise TypeError(f"minor units are int, not {type(self.minor).__name__}")
        if self.currency not in CURRENCIES:
            raise InvalidAmount("unknown_currency", currency=self.currency)

    def major(self) -> str:
        """The amount in major units with all its decimals and no grouping: ``12.50``, ``1500``."""
        exponent = exponent_of(self.currency)
        sign = "-" if self.minor < 0 else ""
        digits = str(abs(self.minor)).rjust(exponent + 1, "0")
        if not exponent:
            return sign + digits
        return f"{sign}{digits[:-exponent]}.{digits[-exponent:]}"

    def __str__(self) -> str:
        return f"{self.major()} {self.currency}"


def exponent_of(currency: str) -> int:
    """How many decimals ISO 4217 gives the currency: 0, 2 or 3."""
    return _EXPONENTS.get(currency, 2)


def parse_amount(text: object, currency: str) -> Money:
    """Read an amount above zero that a person or a program typed, in major units.

    Accepted are ASCII ``digits[.digits]`` with no more decimals than the currency has.

    Raises:
        InvalidAmount: with code ``empty``, ``not_text``, ``not_a_number``,
            ``too_many_decimals``, ``not_positive``, ``too_large`` or ``unknown_currency``.
    """
    if currency not in CURRENCIES:
        raise InvalidAmount("unknown_currency", currency=currency)
    if not isinstance(text, str):
        raise InvalidAmount("empty" if text is None else "not_text")
    if not text:
        raise InvalidAmount("empty")
    if re.fullmatch(r"[0-9]{11,}(\.[0-9]*)?", text, re.ASCII):
        raise InvalidAmount("too_large")
    decimals = exponent_of(currency)
    if re.fullmatch(r"[0-9]{1,10}\.[0-9]{4,}", text, re.ASCII):
        raise InvalidAmount("too_many_decimals", currency=currency, decimals=decimals)
    if not _AMOUNT.fullmatch(text):
        raise InvalidAmount("not_a_number")
    whole, _, fraction = text.partition(".")
    if len(fraction) > decimals:
        raise InvalidAmount("too_many_decimals", currency=currency, decimals=decimals)
    minor = int(whole + fraction.ljust(decimals, "0"))
    if minor <= 0:
        raise InvalidAmount("not_positive")
    if minor > MAX_MINOR:
        raise InvalidAmount("too_large")
    return Money(minor, currency)


def parse_reported(text: str, currency: str, *, decimals: int | None = None) -> Money:
    """Read an amount that a processor wrote, such as ``-1.50``, ``10.0``, ``12.5000`` or ``100``.

    ``decimals`` is the processor's own exponent where it differs from ISO 4217. Zeros that
    go beyond the exponent are dropped; any other digit there is an error, never rounded.

    Raises:
        InvalidAmount: ``not_a_number``, ``too_many_decimals`` or ``unknown_currency``.
    """
    match = re.fullmatch(r"(-?)([0-9]{1,14})(?:\.([0-9]{1,6}))?", text.strip(), re.ASCII)
    if not match:
        raise InvalidAmount("not_a_number")
    sign, whole, fraction = match[1], match[2], match[3] or ""
    iso = exponent_of(currency)
    fraction, beyond = fraction[:iso], fraction[iso:]
    if beyond.strip("0") or (decimals is not None and fraction[decimals:].strip("0")):
        raise InvalidAmount("too_many_decimals", currency=currency, decimals=iso)
    minor = int(whole + fraction.ljust(iso, "0"))
    return Money(-minor if sign else minor, currency)


def write_amount(money: Money, *, decimals: int) -> str:
    """The amount with exactly that many decimals, for a processor that counts so: ``1500.00`` JPY.

    Raises:
        InvalidAmount: ``too_many_decimals`` where a digit other than zero would be lost.
    """
    whole, _, fraction = money.major().partition(".")
    if fraction[decimals:].strip("0"):
        raise InvalidAmount("too_many_decimals", currency=money.currency, decimals=decimals)
    fraction = fraction[:decimals].ljust(decimals, "0")
    return f"{whole}.{fraction}" if fraction else whole
