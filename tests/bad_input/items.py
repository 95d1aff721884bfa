"""What people, programs and attackers send instead of what was meant, list by list."""

# Written where an amount of US dollars is due.
AMOUNTS = [
    *("0", "0.00", "-0", "-1", "NaN", "sNaN", "Infinity", "-Infinity", "1e309", "1e3", "1E-2"),
    *("1_000", "0x10", "١٢", "１２", "½", " 12,50", "1,250.00", "1.250,00", "12.345", ".5", "5."),
    *("+5", "−5", "$5", "5 USD", "5 €", "", " 5", "5 ", "5\n", "5\t", "5\x00", "5.00.00", "--5"),
    *("\u200b5", "\u202e5", "5\u2212", "0.001", "true", "null", "None", "[]", "{}", "1;2", "5/1"),
    *("1" + "0" * 20, "9" * 400, "2147483648", "9007199254740993", "9223372036854775808"),
    *("={1+1}", "<b>5</b>", "%s", "' OR 1=1 --", "00000000005"),
]
# The same as JSON that is no text: numbers lose digits, and the others are no amount.
JSON_AMOUNTS = ["null", "true", "false", "[]", "{}", '["5"]', "5", "12.5", "-1", "1e309", "1E400"]
# Decimals that another currency does not have.
DECIMALS = [("JPY", "100.5"), ("JPY", "100.0"), ("KWD", "1.2345"), ("ISK", "1.5"), ("EUR", "0.001")]
CURRENCIES = ["usd", "USDT", "XXX", "XAU", "US", "", "$", "EU\x00", "ＵＳＤ", "€€€"]

LINES = "line\n" * 10_000
MEGABYTE = "x" * 1_000_000
# Text that is only text: it may be kept as it is, and is drawn escaped.
HARMLESS = {
    "script": "<script>alert(1)</script>",
    "onerror": '"><img src=x onerror=alert(1)>',
    "svg": "<svg/onload=alert(1)>",
    "expression": "{{7*7}}",
    "tag": "{% debug %}",
    "dollar": "${7*7}",
    "percent": "%s%n%(name)s",
    "javascript": "javascript:alert(1)",
    "bidirectional": "\u202egnp.exe\u202c",
    "zero width": "a\u200bb\u2060c\ufeffd",
    "combining": "Z" + "\u0310\u0321\u0340" * 60,
    "emoji": "\U0001f4b8 \U0001f469\u200d\U0001f4bb",
    "homoglyph": "Раураl",  # Cyrillic
    "line ends": "one\r\nSet-Cookie: a=b\r\n\r\nthree",
    "path": "../../../../etc/passwd",
    "quotes": "' OR 1=1; DROP TABLE refunds_refund; --",
    "formula": '=HYPERLINK("https://evil.example";"look")',
    "replacement": "\ufffd",
    "noncharacter": "\uffff\U0010ffff",
}
# Text that is refused wherever it may be typed.
REFUSED = {"zero byte": "a\x00b", "a megabyte": MEGABYTE, "ten thousand lines": LINES}
# What is kept in no text: published test cards however they are written, and keys of live accounts.
NEVER_KEPT = {
    "a card": "4242424242424242",
    "a card with blanks": "Paid with 4111 1111 1111 1111.",
    "a card with dashes": "5555-5555-5555-4444",
    "a card over lines": "3782\n822463\n10005",
    "Arabic digits": "٤٢٤٢ ٤٢٤٢ ٤٢٤٢ ٤٢٤٢",
    "full-width digits": "４０００－０５６６－５５６６－５５５６",
    "unseen characters": "4242\u200b4242\u200b4242\u200b4242",
    "a key": "use sk_live_51Habcdef0123456789",
    "a restricted key": "KEY=rk_live_51Habcdef0123456789",
    "the secret of webhooks": "https://example.com?s=whsec_51Habcdef",
}
# Halves of characters, which JSON can write and no database keeps.
SURROGATES = ["\\ud800", "a\\udfff", "\\udc00\\ud800"]

# Written where the id of something is due.
IDS = [
    *("0", "-1", "1.5", "１", "abc", "[]", "1,2", "%00", "%0a1", "..%2f..%2f", "9" * 19, "9" * 25),
    *("9" * 5_000, "%F0%9F%92%B8", "%FF", "1'", "00000000-0000-0000-0000-000000000000"),
]  # fmt: skip

KEYS = {
    "none": None,
    "empty": "",
    "blank": "   ",
    "too long": "k" * 256,
    "ten thousand": "k" * 10_000,
    "not ASCII": "ключ",
    "control": "a\x01b",
    "tabbed": "a\tb",
    "deleted": "a\x7fb",
}
