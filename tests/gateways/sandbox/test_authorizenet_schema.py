"""The compact table against the processor's own schema, and against hostile documents."""

import copy
import random

import pytest
from lxml import etree

from gateways.sandbox import authorizenet_schema as schema
from gateways.sandbox.authorizenet_schema import NAMESPACE, Refused, parse_request

from .wire import authorizenet_xsd, needs_xsd

LOGIN = (
    "<merchantAuthentication><name>login</name><transactionKey>key</transactionKey>"
    "</merchantAuthentication>"
)
SAMPLES = {
    "decimal": ["1.00", "12.3", "0", "+5", "-1", ".5", "5.", " 12.3 ", "1e3", "", "NaN", "1,5"],
    "amount": ["1.00", "0", ".5", "1.23450", "1.23456", "-1", "x"],
    "boolean": ["true", "false", "1", "0", " true ", "True", ""],
    "digits": ["123", "0", "", "12a", "١٢", " 12 "],
    "date": ["2025-01-01", "2025-02-30", "x"],
    "dateTime": [
        "2025-01-01T00:00:00Z",
        "2025-01-01T00:00:00",
        "2025-01-01T00:00:00.1234567Z",
        "2025-01-01T00:00:00+02:00",
        "2025-13-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "2025-01-01",
    ],
    "int": ["1", "100", "1000", "1001", "0", "-1", "100001", "+7", " 8 ", "1.0", "x"],
}


def values_of(kind):
    """Good and bad texts for a simple type of the table."""
    if kind.startswith("{"):
        return [*kind.strip("{}").split(","), "zz", ""]
    if kind.startswith("int"):
        return SAMPLES["int"]
    if kind in SAMPLES:
        return SAMPLES[kind]
    letter = "9" if kind.startswith("digits") else "é"
    low, _, high = kind.removeprefix("digits").partition("..")
    lengths = [0, int(low or 0), *([int(high), int(high) + 1] if high else [300])]
    return [letter * length for length in lengths] + ["x"]


def build(choose, name, kind, mistakes):
    """An element of the table's type ``kind``, with a mistake here and there."""
    element = etree.Element(f"{{{NAMESPACE}}}{name}")
    children = []
    for place in schema._sequence(kind):
        if choose.random() > (0.35 if not place.required else 1 - mistakes / 2):
            continue
        for _ in range(choose.randrange(3) if place.repeatable else 1):
            names = [name for name, kind in place.types.items() if kind != "any"]
            if names:
                name = choose.choice(names)
                children.append(build_child(choose, name, place.types[name], mistakes))
    if children and choose.random() < mistakes:
        children.append(copy.deepcopy(choose.choice(children)))
    if len(children) > 1 and choose.random() < mistakes:
        children.insert(0, children.pop())
    element.extend(children)
    if choose.random() < mistakes / 4:
        choose.choice([lambda: element.set("a", "b"), lambda: setattr(element, "text", "x")])()
    return element


def build_child(choose, name, kind, mistakes):
    if kind in schema._TYPES:
        return build(choose, name, kind, mistakes)
    child = etree.Element(f"{{{NAMESPACE}}}{name}")
    texts = values_of(kind)
    if choose.random() > mistakes:
        texts = [text for text in texts if not schema._check_of(kind)(text)]
    child.text = choose.choice(texts)
    return child


def verdict_of(body):
    try:
        parse_request(body)
    except Refused as refused:
        return refused.code
    return ""


@needs_xsd
@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_the_published_schema(seed):
    choose = random.Random(seed)
    accepted = 0
    for _ in range(500):
        name = choose.choice(sorted(schema.REQUESTS))
        body = etree.tostring(build(choose, name, name, choose.choice([0, 0.02, 0.1])))
        valid = authorizenet_xsd().validate(etree.fromstring(body))
        assert (verdict_of(body) == "") == valid, (body, authorizenet_xsd().error_log)
        accepted += valid
    assert 100 < accepted < 480  # both verdicts were tried


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "E00003"),
        (b"\xff\xfe\x00", "E00003"),
        (b"{}", "E00003"),
        (b"<a>", "E00003"),
        (b"<a/>", "E00045"),
        (b'<a xmlns="urn:other"/>', "E00045"),
        (f'<isAliveRequest xmlns="{NAMESPACE}"/>'.encode(), "E00004"),
        (f'<authenticateTestRequest xmlns="{NAMESPACE}"/>'.encode(), "E00003"),
        (b"<!DOCTYPE a><a/>", "E00003"),
        (b'<!DOCTYPE a SYSTEM "http://127.0.0.1:1/x.dtd"><a/>', "E00003"),
        (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a>&x;</a>', "E00003"),
        ('<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a><a/>'.encode("utf-16"), "E00003"),
        (b"<a>&undefined;</a>", "E00003"),
        (b"<a>" * 5_000 + b"</a>" * 5_000, "E00003"),
    ],
)
def test_refuses_what_is_not_a_request(body, code):
    assert verdict_of(body) == code


def test_refuses_a_document_type_in_an_otherwise_good_request():
    body = f'<authenticateTestRequest xmlns="{NAMESPACE}">{LOGIN}</authenticateTestRequest>'
    assert verdict_of(body.encode()) == ""
    with pytest.raises(Refused, match="DTD is prohibited"):
        parse_request(f"<!DOCTYPE authenticateTestRequest>{body}".encode())


def test_comments_and_instructions_do_not_matter():
    body = (
        f'<authenticateTestRequest xmlns="{NAMESPACE}"><!-- a --><?b c?>{LOGIN}'
        "<refId>R<!-- d -->1</refId></authenticateTestRequest>"
    )
    assert schema.text_at(parse_request(body.encode()), "refId") == "R1"


def test_says_what_it_expected():
    body = (
        f'<getTransactionDetailsRequest xmlns="{NAMESPACE}">{LOGIN}<transId>1</transId>'
        "<refId>R1</refId></getTransactionDetailsRequest>"
    )
    with pytest.raises(Refused, match="invalid child element 'refId'"):
        parse_request(body.encode())
    with pytest.raises(
        Refused, match="List of possible elements expected: 'clientId, refId, trans"
    ):
        parse_request(body.replace("transId", "other").encode())
