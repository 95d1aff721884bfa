import pytest

from gateways.hardened_xml import parse_xml, text_of

ENTITIES = '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>'
EXTERNAL = '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/evil.dtd"><a/>'
FILE = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a>&x;</a>'
BOMB = (
    '<!DOCTYPE a [<!ENTITY e0 "aaaaaaaaaa">'
    + "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 30))
    + "]><a>&e29;</a>"
)


def test_reads_a_document_with_byte_order_mark_and_namespaces():
    root = parse_xml(b'\xef\xbb\xbf<?xml version="1.0"?><a xmlns="urn:u"><b> Jos\xc3\xa9 </b></a>')
    assert root.tag == "a"
    assert text_of(root, "b") == "José"


def test_text_of_something_absent_or_empty_is_empty():
    root = parse_xml(b"<a><b/><c>  </c></a>")
    assert [text_of(root, name) for name in "bcd"] == ["", "", ""]


@pytest.mark.parametrize("body", [ENTITIES, EXTERNAL, "<!DOCTYPE html><html/>"])
def test_refuses_a_document_type(body):
    with pytest.raises(ValueError, match="document type"):
        parse_xml(body.encode())


@pytest.mark.parametrize("body", [FILE, BOMB])
def test_refuses_entities_that_reach_or_grow(body):
    with pytest.raises(ValueError, match=r"document type|well-formed"):
        parse_xml(body.encode())


@pytest.mark.parametrize(
    "body", [b"", b"<a>", b"<html><p></html>", b"<a>&undefined;</a>", b"\x00\x01", b"<a" * 100_000]
)
def test_refuses_what_is_not_well_formed(body):
    with pytest.raises(ValueError, match="not well-formed"):
        parse_xml(body)
