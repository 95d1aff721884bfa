"""Reads XML that came over the network, which may be broken or hostile."""

from __future__ import annotations

from lxml import etree

Element = etree._Element  # noqa: SLF001 - lxml has no public name for the type of its elements


def parse_xml(body: bytes) -> Element:
    """The root of the document, namespaces dropped from all names. A byte order mark is fine.

    Raises:
        ValueError: not well-formed, or with a document type, where entities hide.
    """
    # huge_tree stays off: libxml2 then limits depth and text size by itself.
    parser = etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        raise ValueError(f"it is not well-formed XML: {error.msg}") from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise ValueError("it has a document type, which no answer needs")
    for element in root.iter():
        if element.tag.startswith("{"):
            element.tag = element.tag.rpartition("}")[2]
    return root


def text_of(parent: Element, path: str) -> str:
    """The text at a path below the element, stripped; empty where there is none."""
    return (parent.findtext(path) or "").strip()
