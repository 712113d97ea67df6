"""Forms on paper: data is never markup, the same data gives the same bytes, and what cannot be printed is said."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mediad.edges import qr, typst
from mediad.errors import StorageError
from tests.support import program

AT = datetime(2026, 11, 23, 13, 10, tzinfo=UTC)


def form(**more: Any) -> dict[str, Any]:
    """The least that the layout takes."""
    return {"unit": "测试卫生监督所", "title": "交接记录", "title_en": "HAND-OVER", "number": "dck-1", **more}


def a_table(*cells: str | None) -> dict[str, Any]:
    columns = [{"zh": "文件", "en": "File", "parts": 1} for _ in cells]
    return {"zh": "附", "en": "Annex", "columns": columns, "rows": [list(cells)]}


def text_of(pdf: bytes) -> str:
    """What stands in a PDF, by poppler."""
    told = [program("pdftotext", "poppler-utils"), "-raw", "-", "-"]
    return subprocess.run(told, input=pdf, capture_output=True, check=True, timeout=60).stdout.decode()


def one_line(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize(
    "name",
    [
        '#image("/etc/passwd")', '#read("common.typ")', "*粗* _斜_ `x` $x$ @ref <l> //", "= 标题", "\\ \\u{41}",
        '"); #panic("x")', "]#panic()[", "-- ~ ... ''",
    ],
)  # fmt: skip
def test_a_name_is_never_markup(name: str) -> None:
    """Whatever would be markup in a template is printed letter by letter, in every place where data stands."""
    cell = {"zh": "名", "en": "Name", "value": name}
    pdf = typst.render("form", form(sections=[{"zh": "一", "en": "", "cells": [cell]}], tables=[a_table(name)]), AT)
    assert one_line(text_of(pdf)).count(one_line(name)) == 2


def test_what_controls_or_cannot_be_drawn_is_escaped() -> None:
    """Control characters, turned writing, a lone surrogate, and letters that the fonts have not got."""
    name = "a\x07b\u202egpj.exe\u200bc\udc80שd\N{GRINNING FACE}〔龘〕\ttab"
    told = one_line(text_of(typst.render("form", form(tables=[a_table(name)]), AT)))
    expected = r"a\x07b\xe2\x80\xaegpj.exe\xe2\x80\x8bc\xed\xb2\x80\xd7\xa9d\xf0\x9f\x98\x80〔龘〕\x09tab"
    assert expected in told


def test_the_same_form_has_the_same_bytes_and_another_has_not() -> None:
    one = typst.render("form", form(notes=["甲"]), AT)
    assert typst.render("form", form(notes=["甲"]), AT) == one
    assert typst.render("form", form(notes=["乙"]), AT) != one


def test_names_of_any_length_stay_on_the_paper() -> None:
    """A word without blanks breaks inside its cell; no letter of it is lost, and none lies outside the page."""
    long = "x" * 900 + "终"
    pdf = typst.render("form", form(tables=[a_table(long, "第二栏")]), AT)
    words = subprocess.run(
        [program("pdftotext", "poppler-utils"), "-bbox", "-", "-"], input=pdf, capture_output=True, check=True
    ).stdout.decode()
    assert one_line(text_of(pdf)).replace("第二栏", "").count("x") >= 900
    rights = [float(part.split('"')[1]) for part in words.split("xMax=")[1:]]
    assert max(rights) <= 210 / 25.4 * 72 - 40, "within the margin"


def test_a_missing_font_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(typst, "FONTS", str(tmp_path))
    with pytest.raises(StorageError, match="NotoSansCJK-Regular") as told:
        typst.render("form", form(), AT)
    assert (told.value.code, told.value.hint) == ("no-font", "apt-get install -y fonts-noto-cjk")


def test_a_form_that_takes_too_long_or_fails_is_an_error_of_one_sentence() -> None:
    with pytest.raises(StorageError, match="longer than") as late:
        typst.render("form", form(), AT, seconds=0.001)
    assert late.value.code == "form-late"
    with pytest.raises(StorageError, match="cannot be made") as failed:
        typst.render("form", {"unit": "无题"}, AT)
    assert (failed.value.code, "\n" in failed.value.message) == ("form-failed", False)


def test_the_code_on_paper_reads_back(tmp_path: Path) -> None:
    """By another reader, from the printed page at 150 dots an inch."""
    told = "mediad:dck-0123456789abcdefghijklmnop:" + "0123456789abcdef" * 4
    code = {"rows": qr.rows(told), "zh": "摘要", "en": "Digest", "digest": "0", "lines": []}
    page = tmp_path / "page"
    draw = [program("pdftoppm", "poppler-utils"), "-r", "150", "-png", "-singlefile", "-", str(page)]
    subprocess.run(draw, input=typst.render("form", form(code=code), AT), check=True, timeout=60)
    read = [program("zbarimg", "zbar-tools"), "-q", "--raw", f"{page}.png"]
    assert subprocess.run(read, capture_output=True, check=True, timeout=60).stdout.decode().strip() == told
