"""XML of strangers, read by expat with nothing that XML can do beyond elements, attributes and text.

A document type is refused at its first word: without one there is no entity to expand or to fetch. Depth, elements and text have
limits. Encodings: UTF-8, UTF-16, and the Chinese ones that recorders use (GBK, GB2312, GB18030), which expat does not know: the
text is decoded first, by its byte order mark, its declaration, or what it can be.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

MAX_BYTES: Final = 32 * 1024**2
MAX_DEPTH: Final = 32
MAX_ELEMENTS: Final = 500_000

_DECLARED = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_DECLARATION = re.compile(r"^\s*<\?xml[^>]{0,400}\?>")
_CHINESE = {"gbk", "gb2312", "gb18030", "cp936", "gb_2312-80", "x-gbk", "hz-gb-2312"}


class Refused(ValueError):
    """It uses what is not read."""


@dataclass(slots=True)
class Element:
    """``name`` without its namespace, lower case."""

    name: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    children: list["Element"] = field(default_factory=list)

    def walk(self) -> Iterator["Element"]:
        """Itself, then everything in it, in the order of the file."""
        waiting = [self]
        while waiting:
            element = waiting.pop()
            yield element
            waiting.extend(reversed(element.children))


def decoded(data: bytes) -> str:
    """The text of a file: by its mark, its declaration, else UTF-8 if it is that, else GB18030, in which everything means
    something."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    if data[:4] == b"<\0?\0" or data[1:2] == b"\0":
        return data.decode("utf-16-le", "replace")
    if data[:1] == b"\0":
        return data.decode("utf-16-be", "replace")
    data = data.removeprefix(b"\xef\xbb\xbf")
    declared = _DECLARED.match(data[:400])
    if declared and declared[1].decode().lower() in _CHINESE:
        return data.decode("gb18030", "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("gb18030", "replace")


def parse(data: bytes) -> Element:
    """The root element. Raises Refused, or expat's own error for what is no XML."""
    if len(data) > MAX_BYTES:
        raise Refused(f"larger than {MAX_BYTES} bytes")
    text = _DECLARATION.sub("", decoded(data), count=1)
    reader = _Reader()
    parser = expat.ParserCreate("utf-8")
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.StartDoctypeDeclHandler = reader.refuse
    parser.EntityDeclHandler = reader.refuse
    parser.UnparsedEntityDeclHandler = reader.refuse
    parser.ExternalEntityRefHandler = reader.refuse
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.characters
    parser.buffer_text = True
    parser.Parse(text.encode("utf-8", "replace"), True)
    return reader.root.children[0]


class _Reader:
    def __init__(self) -> None:
        self.root = Element("")
        self.open = [self.root]
        self.count = 0

    def refuse(self, *_: object) -> int:
        raise Refused("it has a document type, which is not read")

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        self.count += 1
        if self.count > MAX_ELEMENTS or len(self.open) > MAX_DEPTH:
            raise Refused("too many elements, or too deep")
        element = Element(_plain(name), {_plain(key): value for key, value in attributes.items()})
        self.open[-1].children.append(element)
        self.open.append(element)

    def end(self, _: str) -> None:
        self.open.pop()

    def characters(self, text: str) -> None:
        self.open[-1].text += text


def _plain(name: str) -> str:
    return name.rpartition(":")[2].lower()
