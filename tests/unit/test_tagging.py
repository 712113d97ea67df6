"""What people say of the cases of recordings: tags, proposals, bulk; superseded, never edited, and not overruled."""

import json
from contextlib import closing
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from mediad.catalog.bureau_tables import untagged
from mediad.cli.tags import picked
from mediad.edges.activities import load_activities
from mediad.errors import ConfigError, NotFound, Refused, UsageError
from mediad.model.custody import Draft
from mediad.model.duty import Level
from mediad.model.people import Dated, Person
from mediad.model.registers import person_json
from mediad.wiring.bureau import registers, spoken, tagging
from mediad.wiring.bureau.tagging import Chosen, Wanted
from tests.bureau import Bureau, File, H, at, open_bureau
from tests.support import Site, complaints
from tests.unit.test_matching import case, footage, proposed, site, tags, work_off

__all__ = ["site"]


def recordings(site: Site, *options: str) -> list[dict[str, Any]]:
    done = site.run("recordings", "--json", *options)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def test_a_person_tags_a_recording_and_the_list_shows_the_number_of_its_case(site: Site) -> None:
    own, taken = case(site, "立-1", handlers="210002"), footage(site)
    done = site.run("tag", taken, "--case", "立-1", "--activity", "hearing", "--json")
    assert done.returncode == 0, done.stderr
    assert [t["case"] for t in json.loads(done.stdout)["tags"]] == [own]
    (row,) = recordings(site, "--case", "立-1")
    assert (row["id"], row["case"], row["activities"]) == (taken, "立-1", ["hearing"])
    assert recordings(site, "--untagged") == []
    assert complaints(site) == []


def test_a_tag_is_superseded_and_never_edited(site: Site) -> None:
    case(site, "立-1", handlers="210002"), case(site, "立-2", handlers="210002")
    taken = footage(site)
    for wanted in (
        Wanted("立-1"),
        Wanted("立-1", "preservation", {"reason": "易灭失"}),
        Wanted("立-1", "preservation", {"object": "药品"}),
        Wanted("立-2"),
    ):
        tagging.tag(site.config, [taken], wanted)
    states = site.rows("SELECT state, activity, detail FROM tag ORDER BY at")
    assert [(s, a) for s, a, _ in states] == [
        ("superseded", ""), ("superseded", "preservation"), ("superseded", "preservation"), ("set", ""),
    ]  # fmt: skip
    assert [json.loads(d)["fields"] for *_, d in states][2] == {"reason": "易灭失", "object": "药品"}
    assert len(site.rows("SELECT 1 FROM custody WHERE kind = 'tag.set'")) == 4
    assert site.run("fsck").returncode == 0


def test_the_same_tag_once_more_is_no_new_fact(site: Site) -> None:
    case(site, "立-1"), footage(site)
    (row,) = recordings(site)
    assert tagging.tag(site.config, [row["id"]], Wanted("立-1"))["tags"]
    assert tagging.tag(site.config, row["assets"], Wanted("立 - 1"))["tags"] == []


def test_a_recording_may_be_of_two_cases_and_show_two_activities(site: Site) -> None:
    case(site, "立-1"), case(site, "立-2")
    taken = footage(site)
    tagging.tag(site.config, [taken], Wanted("立-1", "sampling"))
    tagging.tag(site.config, [taken], Wanted("立-1", "hearing"))
    tagging.tag(site.config, [taken], Wanted("立-2"), also=True)
    assert [r["id"] for n in "12" for r in recordings(site, "--case", f"立-{n}")] == [taken, taken]
    assert sorted(row[2] for row in tags(site)) == ["set"] * 3


def test_a_persons_tag_stands_whatever_the_rule_finds(site: Site) -> None:
    other = case(site, "立-9", handlers="210002", days=200)
    taken = footage(site)
    tagging.tag(site.config, [taken], Wanted("立-9"))
    case(site, "立-1")
    assert work_off(site).tagged == 0
    assert tags(site) == [(taken, other, "set", 0)]
    assert proposed(site) == []


def test_a_persons_tag_takes_the_place_of_the_rules(site: Site) -> None:
    first, other = case(site, "立-1"), case(site, "立-9", handlers="210002", days=200)
    taken = footage(site)
    work_off(site)
    tagging.tag(site.config, [taken], Wanted("立-9"))
    assert sorted(tags(site)) == sorted([(taken, first, "superseded", 1), (taken, other, "set", 0)])


def test_what_a_person_withdrew_the_rule_does_not_set_again(site: Site) -> None:
    own = case(site, "立-1")
    taken = footage(site)
    work_off(site)
    tagging.untag(site.config, [taken], why="不是本案")
    work_off(site)
    assert tags(site) == [(taken, own, "withdrawn", 1)]
    assert proposed(site) == []
    assert site.rows("SELECT recording FROM untagged") == [(taken,)], "it is of no case again"
    with pytest.raises(Refused, match="no such tag"):
        tagging.untag(site.config, [taken])


def test_a_proposal_is_accepted_or_dismissed_by_a_person(site: Site) -> None:
    first, second = case(site, "立-1"), case(site, "立-2")
    taken, other = footage(site), footage(site, seed=2)
    done = site.run("proposals", "--json")
    assert done.returncode == 0, done.stderr
    waiting = json.loads(done.stdout)
    assert sorted(r["recording"] for r in waiting) == sorted([taken, other])
    assert {c["number"] for c in waiting[0]["cases"]} == {"立-1", "立-2"}
    with pytest.raises(Refused, match="2 cases"):
        tagging.accept(site.config, [taken])
    tagging.accept(site.config, [taken], case="立-2", activity="sampling")
    assert tags(site) == [(taken, second, "set", 0)]
    tagging.dismiss(site.config, [other], case="立-1", why="王某不在场")
    assert [row[:2] for row in proposed(site)] == [(other, second)]
    work_off(site)
    assert tags(site)[-1] == (other, second, "set", 1), "without its rival the other case is clear"
    assert (other, first, "dismissed", 0) in tags(site)
    with pytest.raises(Refused, match="nothing like that"):
        tagging.accept(site.config, [other], case="立-1")
    assert site.run("fsck").returncode == 0


def test_many_are_tagged_at_once_after_it_was_said_how_many(site: Site) -> None:
    case(site, "立-1", handlers="210002", days=300), case(site, "立-2", handlers="210002", days=300)
    mine = [footage(site, seed=n) for n in (1, 2)]
    others = footage(site, officer="210002", seed=3)
    by_hand = footage(site, seed=4)
    tagging.tag(site.config, [by_hand], Wanted("立-2"))
    local = ["--from", "2026-09-21 20:00", "--until", "2026-09-21 23:00", "--officer", "210001"]
    done = site.run("tag", *local, "--case", "立-1", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (sorted(told["chosen"]), told["left"], told["tags"]) == (sorted(mine), 1, [])
    assert len(tags(site)) == 1, "it was only said how many"
    done = site.run("tag", *local, "--case", "立-1", "--yes", "--json")
    assert sorted(t["recording"] for t in json.loads(done.stdout)["tags"]) == sorted(mine)
    assert sorted(r["id"] for r in recordings(site, "--case", "立-1")) == sorted(mine)
    assert [r["id"] for r in recordings(site, "--untagged")] == [others]
    assert [r["case"] for r in recordings(site, "--officer", "210001")].count("立-1") == 2


def test_recordings_are_chosen_by_recorder_and_time(site: Site) -> None:
    taken = footage(site)
    (row,) = recordings(site)
    assert recordings(site, "--recorder", row["recorder"]) == [row]
    assert recordings(site, "--recorder", "another") == []
    assert recordings(site, "--until", "2026-09-21 21:00") == []
    assert [r["id"] for r in recordings(site, "--from", "2026-09-21 21:00")] == [taken]
    zone = site.config.unit.zone
    for day in ("2026-09-21", "2026年9月21日", "20260921"):
        some = picked(site.config, day, day, "", "")
        assert (some.first, some.last) == (
            datetime(2026, 9, 21, tzinfo=zone),
            datetime.combine(date(2026, 9, 21), time.max, zone),
        )
        with closing(site.open()) as station, station.ledger.catalog.read() as conn:
            assert tagging.chosen(conn, site.config, some) == [taken], "a day alone is all of it"
    assert picked(site.config, "", "2026-09-21 00:00", "", "").last == datetime(2026, 9, 21, tzinfo=zone)


def test_a_recording_is_chosen_by_the_time_that_a_person_set_and_bears_the_number_of_that_day(site: Site) -> None:
    numbers = (Dated("OLD", until=date(2026, 9, 15)), Dated("NEW", start=date(2026, 9, 16)))
    person = Person("per-x", "OLD", "赵强", certificates=numbers, device_numbers=(Dated("0777"),))
    with closing(site.open()) as station:
        station.ledger.record([Draft("person.registered", person.id, person_json(person))])
    taken = footage(site, officer="0777")
    assert recordings(site)[0]["officer"] == "NEW"
    spoken.set_time(site.config, taken, at("2026-09-10 10:00"), None, "值班记录", "时钟快")
    assert recordings(site, "--from", "2026-09-21 21:00") == []
    (row,) = recordings(site, "--from", "2026-09-10", "--until", "2026-09-10 12:00")
    assert (row["id"], row["ended_at"], row["officer"]) == (taken, "2026-09-10T10:00:00+08:00", "OLD")


def test_what_cannot_be_is_one_sentence_and_changes_nothing(site: Site) -> None:
    case(site, "立-1")
    taken = footage(site)
    before = site.rows("SELECT count(*) FROM custody")
    for wrong, error in (
        (lambda: tagging.tag(site.config, [taken], Wanted("没有")), NotFound),
        (lambda: tagging.tag(site.config, ["rec-nothing"], Wanted("立-1")), NotFound),
        (lambda: tagging.tag(site.config, [taken], Wanted("立-1", "dancing")), UsageError),
        (lambda: tagging.tag(site.config, [taken], Wanted("立-1", "hearing", {"reason": "x"})), UsageError),
        (lambda: tagging.tag(site.config, [taken], Wanted("立-1", "preservation", {"reason": " "})), UsageError),
        (lambda: tagging.tag_many(site.config, Chosen(), Wanted("立-1"), dry_run=False), UsageError),
    ):
        with pytest.raises(error):
            wrong()
    assert site.rows("SELECT count(*) FROM custody") == before


def test_also_of_another_case_leaves_what_the_rule_had_tagged(site: Site) -> None:
    first, other = case(site, "立-1"), case(site, "立-9", handlers="210002", days=200)
    taken = footage(site)
    work_off(site)
    tagging.tag(site.config, [taken], Wanted("立-9"), also=True)
    assert sorted(tags(site)) == sorted([(taken, first, "set", 1), (taken, other, "set", 0)])
    tagging.tag(site.config, [taken], Wanted("立-9", "hearing"))
    assert {row[1] for row in tags(site) if row[2] == "set"} == {other}


# --- of no duty ---------------------------------------------------------------------------------------------------------


def test_of_no_duty_a_recording_is_of_no_case_until_that_is_taken_back(site: Site) -> None:
    own = case(site, "立-1")
    taken = footage(site)
    work_off(site)
    done = site.run("recordings", "non-duty", taken, "--reason", "口袋误录", "--json")
    assert done.returncode == 0, done.stderr
    work_off(site)
    assert tags(site) == [(taken, own, "lapsed", 1)]
    assert site.rows("SELECT 1 FROM untagged") == recordings(site, "--untagged") == []
    done = site.run("recordings", "non-duty", taken, "--undo", "--reason", "看错了", "--json")
    assert done.returncode == 0, done.stderr
    assert site.rows("SELECT recording FROM untagged") == [(taken,)], "it wants a case again"
    assert [r["id"] for r in recordings(site, "--untagged")] == [taken]
    work_off(site)
    assert [row[2] for row in tags(site)] == ["lapsed", "set"], "and the rule may find it"
    told = [json.loads(row[0]) for row in site.rows("SELECT detail FROM custody WHERE kind = 'recording.excused'")]
    assert [(t["reason"], t["void"]) for t in told] == [("口袋误录", False), ("看错了", True)]
    with pytest.raises(Refused, match="nobody said"):
        spoken.non_duty(site.config, taken, "又来", undo=True)
    assert site.run("fsck").returncode == 0


def test_what_a_person_has_tagged_is_not_of_no_duty_and_what_is_so_is_not_tagged(site: Site) -> None:
    case(site, "立-1", handlers="210002", days=300)
    taken, idle = footage(site), footage(site, seed=2)
    tagging.tag(site.config, [taken], Wanted("立-1"))
    with pytest.raises(Refused, match="a person has said"):
        spoken.non_duty(site.config, taken, "误录")
    spoken.non_duty(site.config, idle, "误录")
    with pytest.raises(Refused, match="no duty"):
        tagging.tag(site.config, [idle], Wanted("立-1"))
    told = tagging.tag_many(site.config, Chosen(officer="210001"), Wanted("立-1", "hearing"), dry_run=False)
    assert (told["chosen"], told["left"]) == ([], 2), "nobody's word is overruled in bulk"


def test_what_is_of_no_duty_waits_for_nobody(site: Site) -> None:
    case(site, "立-1"), case(site, "立-2")
    taken = footage(site)
    work_off(site)
    assert len(proposed(site)) == 2
    spoken.non_duty(site.config, taken, "误录")
    assert proposed(site) == []
    case(site, "立-3")
    work_off(site)
    assert (proposed(site), tags(site)) == ([], []), "nor is it looked at again for a case that comes"
    with pytest.raises(Refused, match="nothing like that"):
        tagging.accept(site.config, [taken], case="立-1")


def test_a_recording_that_joined_a_tagged_one_wants_no_case_of_its_own(tmp_path: Path) -> None:
    with open_bureau(tmp_path) as b:
        b.recorder("R-1")
        films = [File(f"{n}.mp4", at("2026-11-02 09:00") + n * H) for n in range(3)]
        b.dock("R-1", at("2026-11-02 15:00"), *films)
        first, second, third = (film.recording for film in films)
        tag = {"recording": second, "case": "cas-a", "activity": "", "fields": {}, "by_rule": False, "supersedes": []}
        b.say("tag.set", "tag-a", b.now, **tag)
        assert _of_no_case(b) == sorted([first, third])
        assets = [film.asset for film in films]
        b.say("recording.joined", first, b.now, absorbed=[second], assets=assets[:2], gaps=[], remarks=[])
        assert _of_no_case(b) == [third]
        b.say("tag.withdrawn", "tag-a", b.now, recording=second, case="cas-a", activity="", why="")
        assert _of_no_case(b) == sorted([first, third])
        b.say("recording.excused", second, b.now, reason="误录", void=False)
        assert _of_no_case(b) == [third], "an old id means the whole"
        b.say("recording.joined", third, b.now, absorbed=[first], assets=[assets[2], *assets[:2]], gaps=[], remarks=[])
        assert _of_no_case(b) == []


def _of_no_case(b: Bureau) -> list[str]:
    with b.ledger.catalog.read() as conn:
        return sorted(conn.execute(select(untagged.c.recording)).scalars())


def test_a_tag_of_an_inspection_that_was_merged_is_one_of_the_case(site: Site) -> None:
    case(site, "检-1", handlers="210002"), case(site, "立-1", handlers="210002")
    first, second = footage(site), footage(site, seed=2)
    tagging.tag(site.config, [first], Wanted("检-1"))
    registers.enter(
        site.config, "cases", {"number": "检-1", "name": "检-1案", "kind": "penalty", "merged_into": "立-1"}
    )
    tagging.tag(site.config, [second], Wanted("检-1"))
    assert {r["id"]: r["case"] for r in recordings(site, "--case", "检-1")} == {first: "立-1", second: "立-1"}


# --- the file of activities ---------------------------------------------------------------------------------------------


def test_the_shipped_activities_are_those_of_the_measures(tmp_path: Path) -> None:
    found = {a.key: (a.level, a.article) for a in load_activities(tmp_path / "none.toml")}
    assert found["on-site-inspection"] == (Level.OR_REASON, "Article 13")
    assert {found[k][0] for k in ("sampling", "hearing")} == {Level.OR_REASON}
    assert {found[k] for k in ("sealing", "seizure")} == {(Level.REQUIRED, "Article 15")}
    assert found["simplified-procedure"] == (Level.IF_DISPUTED, "Article 18")
    assert found["service-by-leaving"] == (Level.OR_EQUIVALENT, "Article 21")
    assert found["service-by-announcement"] == (Level.REQUIRED, "Article 23")
    assert found["rectification-check"] == (Level.AS_NEEDED, "Article 24")
    (preservation,) = [a for a in load_activities(tmp_path / "none.toml") if a.key == "preservation"]
    assert (preservation.article, set(preservation.fields)) == ("Article 14", {"reason", "object", "form"})


GOOD = '[[activity]]\nkey="a"\nname="甲"\nenglish="a"\narticle="Article 1"\nduty="required"\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "1 to 200"),
        ("[[activity]", "not TOML"),
        (GOOD + GOOD, "twice"),
        (GOOD.replace('"required"', '"sometimes"'), "duty = 'sometimes'"),
        (GOOD.replace('name="甲"\n', ""), "name is a text"),
        (GOOD.replace('key="a"', 'key="A b"'), "lower-case"),
        (GOOD + 'colour="red"\n', "colour is no key"),
        (GOOD + 'kinds=["theft"]\n', "kinds is a list"),
        (GOOD + 'kinds=["penalty"]\nexpected=["licensing"]\n', "no part of"),
        (GOOD + "[activity.fields]\nreason=1\n", "fields is a table"),
        ("x = 1\n" + GOOD, "nothing else"),
        ("[activity]\nkey=1\n", "nothing else"),
    ],
)
def test_a_wrong_file_of_activities_is_told_by_file_and_key(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "activities.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=says) as told:
        load_activities(file)
    assert str(file) in told.value.message


def test_a_file_of_the_units_own_stands_for_the_shipped_one(site: Site) -> None:
    (site.root / "activities.toml").write_text(GOOD, encoding="utf-8")
    case(site, "立-1")
    taken = footage(site)
    assert tagging.tag(site.config, [taken], Wanted("立-1", "a"))["tags"]
    with pytest.raises(UsageError, match="no activity"):
        tagging.tag(site.config, [taken], Wanted("立-1", "hearing"))
