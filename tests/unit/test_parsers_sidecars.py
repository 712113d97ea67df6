"""Files beside a recording: XML, GPX, NMEA in the encodings and names of the field, and XML that wants more than to be read."""

import json
from pathlib import Path
from xml.parsers import expat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mediad.model.probe import Probe
from mediad.parsers import gpx, nmea, sidecar
from mediad.parsers.__main__ import answered
from mediad.parsers.xmltext import MAX_DEPTH, Element, Refused, parse

FUZZ = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

ENGLISH = """<?xml version="1.0" encoding="{0}"?>
<Record><PoliceNo>123456</PoliceNo><PoliceName>张三</PoliceName><DeviceID>8888888</DeviceID><UnitName>城东大队</UnitName>
<StartTime>2024-01-02 11:04:05</StartTime><EndTime>2024-01-02 11:09:05</EndTime>
<Important>1</Important><CaseNo>A-77</CaseNo></Record>"""
PINYIN = """<?xml version="1.0" encoding="{0}"?>
<root><JYBH>123456</JYBH><JYXM>张三</JYXM><CPXH>8888888</CPXH><DWMC>城东大队</DWMC><KSSJ>20240102110405</KSSJ><JSSJ>20240102110905</JSSJ>
<ZYBJ>是</ZYBJ><AJBH>A-77</AJBH></root>"""
CHINESE = """<?xml version="1.0" encoding="{0}"?>
<记录><警号>123456</警号><姓名>张三</姓名><设备编号>8888888</设备编号><单位名称>城东大队</单位名称><开始时间>2024年01月02日11时04分05秒</开始时间>
<结束时间>2024/1/2 11:09:05</结束时间><重要>重要</重要><案件编号>A-77</案件编号></记录>"""
ATTRIBUTES = """<?xml version="1.0" encoding="{0}"?>
<file officer="123456" policeName="张三"><item name="DeviceNo" value="8888888"/><item name="dwmc">城东大队</item>
<t begin="2024-01-02T11:04:05" end="2024-01-02T11:09:05"/><m imp="true" caseid="A-77"/></file>"""


def probed(path: Path) -> Probe:
    said = answered({"name": path.name, "suffix": path.suffix[1:]}, path.parent)
    return Probe.from_json(json.loads(json.dumps(said["probe"])))


@pytest.mark.parametrize("encoding", ["UTF-8", "GBK", "GB18030", "UTF-16"])
@pytest.mark.parametrize(
    "form", [ENGLISH, PINYIN, CHINESE, ATTRIBUTES], ids=["english", "pinyin", "chinese", "attributes"]
)
def test_every_way_to_say_it_is_understood(tmp_path: Path, form: str, encoding: str) -> None:
    """Names of elements in three languages, values in three places, in four encodings."""
    (tmp_path / "a.xml").write_bytes(form.format(encoding).encode(encoding))
    probe = probed(tmp_path / "a.xml")
    claims = probe.sidecar
    assert claims is not None
    assert (claims.format, claims.officer, claims.device, claims.case) == ("xml", "123456", "8888888", "A-77")
    assert (claims.officer_name, claims.unit, claims.important) == ("张三", "城东大队", True)
    assert [(s.source, s.value, s.means) for s in probe.stamps] == [
        ("sidecar", "2024-01-02T11:04:05", "start"),
        ("sidecar", "2024-01-02T11:09:05", "end"),
    ]


def test_chinese_without_a_declaration_is_read(tmp_path: Path) -> None:
    """Neither UTF-8 nor declared: then it is GB18030."""
    (tmp_path / "a.xml").write_bytes("<r><姓名>李四</姓名></r>".encode("gbk"))
    claims = probed(tmp_path / "a.xml").sidecar
    assert claims is not None
    assert claims.officer_name == "李四"


def test_a_track_in_xml_is_read(tmp_path: Path) -> None:
    """Points as attributes or as elements."""
    (tmp_path / "a.xml").write_text(
        '<r><track><p lat="39.9" lng="116.4" time="2024-01-02 11:04:05"/><p lat="40.1" lng="116.2" time="2024-01-02 11:04:09"/>'
        "<point><纬度>N40.2</纬度><经度>E116.9</经度></point><p lat='0' lng='0'/></track></r>"
    )
    probe = probed(tmp_path / "a.xml")
    assert probe.track is not None
    assert (probe.track.points, probe.track.box) == (3, (39.9, 116.2, 40.2, 116.9))
    assert probe.track.first.at == "2024-01-02T11:04:05"
    assert [(s.source, s.value) for s in probe.stamps] == [
        ("sidecar", "2024-01-02T11:04:05"),
        ("sidecar", "2024-01-02T11:04:09"),
    ]


def test_gpx_is_read(tmp_path: Path) -> None:
    """Its times are UTC and are GPS times."""
    (tmp_path / "a.gpx").write_text(
        '<?xml version="1.0"?><gpx xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>'
        '<trkpt lat="39.9" lon="116.4"><ele>44.5</ele><time>2024-01-02T03:04:05Z</time></trkpt>'
        '<trkpt lat="39.8" lon="116.5"><time>2024-01-02T03:04:09Z</time></trkpt>'
        '<trkpt lat="999" lon="nan"/></trkseg></trk></gpx>'
    )
    probe = probed(tmp_path / "a.gpx")
    assert probe.track is not None
    assert (probe.track.points, probe.track.box) == (2, (39.8, 116.4, 39.9, 116.5))
    assert probe.position is not None
    assert probe.position.altitude == 44.5
    assert [(s.source, s.value) for s in probe.stamps] == [
        ("gps", "2024-01-02T03:04:05+00:00"),
        ("gps", "2024-01-02T03:04:09+00:00"),
    ]
    line = answered({"name": "a.gpx", "as": "track", "suffix": "gpx"}, tmp_path)["track"]
    assert line["geometry"]["coordinates"] == [[116.4, 39.9, 44.5], [116.5, 39.8]]


def sentence(body: str) -> str:
    return f"${body}*{nmea._sum(body.encode()):02X}\r\n"


def test_nmea_is_read(tmp_path: Path) -> None:
    """RMC and GGA of one moment are one point; no fix and a wrong check sum are none."""
    (tmp_path / "a.log").write_text(
        sentence("GPRMC,030405.00,A,3954.2520,N,11624.4440,E,0.1,0.0,020124,,,A")
        + sentence("GPGGA,030405.00,3954.2520,N,11624.4440,E,1,08,1.0,44.5,M,,M,,")
        + sentence("GNRMC,030406.00,V,3954.2520,N,11624.4440,E,0.1,0.0,020124,,,N")
        + "$GPRMC,030407.00,A,3955.2520,N,11624.4440,E,0.1,0.0,020124,,,A*00\r\n"
        + sentence("BDRMC,030408.00,A,3956.0000,S,11625.0000,W,0.1,0.0,020124,,,A")
    )
    probe = probed(tmp_path / "a.log")
    assert probe.sidecar is not None
    assert (probe.kind, probe.sidecar.format) == ("data", "nmea")
    assert probe.track is not None
    assert probe.track.points == 2
    first, last = probe.track.first, probe.track.last
    assert (first.latitude, first.longitude, first.altitude) == (pytest.approx(39.9042), pytest.approx(116.4074), 44.5)
    assert (last.latitude, last.longitude) == (pytest.approx(-39.933333), pytest.approx(-116.416667))
    assert [(s.source, s.value) for s in probe.stamps] == [
        ("gps", "2024-01-02T03:04:05+00:00"),
        ("gps", "2024-01-02T03:04:08+00:00"),
    ]


@pytest.mark.parametrize(
    ("name", "data", "condition", "code"),
    [
        ("a.xml", b"<r><a></r>", "unreadable", "bad-xml"),
        ("a.xml", b"<r><a>cut of", "unreadable", "bad-xml"),
        ("a.xml", b"no xml at all", "unreadable", "bad-xml"),
        ("a.xml", b"", "unreadable", "empty"),
        ("a.log", b"a plain log\n", "", ""),
        ("a.dat", bytes(range(256)) * 40, "", ""),
    ],
)
def test_what_cannot_be_read_is_said_only_where_it_should_be(
    tmp_path: Path, name: str, data: bytes, condition: str, code: str
) -> None:
    """A data file of which nothing is known is no fault."""
    (tmp_path / name).write_bytes(data)
    probe = probed(tmp_path / name)
    assert probe.conditions == ((condition,) if condition else ())
    assert {r.code for r in probe.remarks} == ({code} if code else set())
    assert probe.sidecar is None


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gbk"])
def test_entities_are_never_expanded_nor_fetched(tmp_path: Path, encoding: str) -> None:
    """External entity, billion laughs, parameter entity, external subset: refused at the document type, in any encoding."""
    (tmp_path / "secret").write_text("the secret")
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    for kind in (
        f'<!DOCTYPE r [<!ENTITY x SYSTEM "file://{tmp_path}/secret">]>',
        f'<!DOCTYPE r [<!ENTITY l0 "ha">{laughs}<!ENTITY x "&l9;">]>',
        f'<!DOCTYPE r [<!ENTITY % p SYSTEM "file://{tmp_path}/secret">%p;<!ENTITY x "">]>',
        f'<!DOCTYPE r SYSTEM "file://{tmp_path}/secret">',
    ):
        (tmp_path / "a.xml").write_bytes(f'<?xml version="1.0"?>{kind}<r><officer>&x;</officer></r>'.encode(encoding))
        probe = probed(tmp_path / "a.xml")
        assert {r.code for r in probe.remarks} == {"xml-refused"}, probe
        assert "the secret" not in json.dumps(probe.as_json())
        assert probe.sidecar is None


def test_depth_and_number_have_limits() -> None:
    """Elements within elements, and very many of them."""
    parse(b"<a>" * MAX_DEPTH + b"</a>" * MAX_DEPTH)
    with pytest.raises(Refused):
        parse(b"<a>" * (MAX_DEPTH + 1) + b"</a>" * (MAX_DEPTH + 1))
    with pytest.raises(Refused):
        parse(b"<r>" + b"<a/>" * 500_001 + b"</r>")


@given(st.binary(max_size=300) | st.text(max_size=150).map(lambda t: f"<r>{t}</r>".encode("utf-8", "replace")))
@FUZZ
def test_any_bytes_are_a_sidecar_or_none(tmp_path: Path, data: bytes) -> None:
    """The parser of sidecars raises nothing, whatever the suffix."""
    (tmp_path / "x").write_bytes(data)
    for suffix in ("xml", "gpx", "log"):
        sidecar.probe(tmp_path / "x", suffix)


@given(
    st.dictionaries(
        st.sampled_from(["officer", "警号", "kssj", "EndTime", "lat", "lon", "name", "value", "x"]),
        st.text(max_size=40),
    ),
    st.text(max_size=60),
)
@FUZZ
def test_values_may_be_anything(attributes: dict[str, str], text: str) -> None:
    """Claims are texts, times are times, places are on the globe."""
    root = Element("r", {}, "", [Element("p", attributes, text)])
    for point in sidecar._points(root):
        assert abs(point.latitude) <= 90
        assert abs(point.longitude) <= 180
    for value in attributes.values():
        assert sidecar.when(value) == "" or "T" in sidecar.when(value)


@given(
    st.text(alphabet="0123456789.,-+NSEWAV:*$GPRMCGA \r\n", max_size=200),
    st.lists(st.tuples(st.floats(), st.floats()), max_size=4),
)
@FUZZ
def test_any_sentence_and_any_point(text: str, places: list[tuple[float, float]]) -> None:
    """NMEA and GPX: what is no place on the globe is none."""
    body = f"GPRMC,{text}".replace("*", "").replace("$", "")
    for data in (f"$GPRMC,{text}", f"${body}*{nmea._sum(body.encode()):02X}"):
        for point in nmea.points(data.encode()):
            assert abs(point.latitude) <= 90
    root = Element(
        "gpx",
        {},
        "",
        [Element("trkpt", {"lat": str(a), "lon": str(b)}, "", [Element("ele", {}, text)]) for a, b in places],
    )
    for point in gpx.points(root):
        assert abs(point.latitude) <= 90
        assert abs(point.longitude) <= 180


@given(
    st.recursive(
        st.text("ab<&", max_size=3),
        lambda inner: st.lists(inner, max_size=3).map(lambda parts: "<a>" + "".join(parts) + "</a>"),
        max_leaves=20,
    )
)
@FUZZ
def test_the_reader_of_xml_ends_in_two_ways(text: str) -> None:
    """It parses, or says why not."""
    try:
        root = parse(text.encode())
    except (Refused, expat.ExpatError):
        return
    assert sum(1 for _ in root.walk()) >= 1
