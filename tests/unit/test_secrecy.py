"""What is classified higher than its vault may hold is told, and nothing is moved for it (Article 33)."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediad.config import Config, load
from mediad.errors import ConfigError, UsageError
from mediad.model.secrecy import SHIPPED, classification, exceeds
from mediad.wiring.bureau import alarms, casework, registers, spoken, tagging
from mediad.wiring.station import now, open_ledger
from tests.support import Site, make_card, make_site, noise

WORDS = st.sampled_from(SHIPPED)


@given(WORDS, WORDS)
def test_a_vault_holds_what_is_not_higher_than_it_says(given_: str, highest: str) -> None:
    assert exceeds(given_, highest, SHIPPED) == (SHIPPED.index(given_) > SHIPPED.index(highest))
    assert not exceeds(given_, "", SHIPPED), "it says nothing"
    assert exceeds("商密", highest, SHIPPED), "a word that the unit has no more: a person has to look"


@pytest.mark.parametrize(("text", "found"), [(" 秘密 ", "秘密"), ("内部", "内部"), ("internal", None), ("", None)])
def test_a_classification_is_one_of_the_units(text: str, found: str | None) -> None:
    assert classification(text, SHIPPED) == found


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = make_site(tmp_path / "station")
    site.ingest(make_card(tmp_path / "card", {"a.mp4": noise(3000, 1)}))
    return site


def with_highest(config: Config, highest: str) -> Config:
    return config.model_copy(update={"vault": (config.vault[0].model_copy(update={"highest": highest}),)})


def told(site: Site, config: Config) -> tuple[list[str], list[str]]:
    """Codes of alarms, and of the check of the case."""
    ledger = open_ledger(config)
    with closing(ledger.catalog), ledger.catalog.read() as conn:
        found = casework.check(conn, config, "立-1")["findings"]
        return [a["code"] for a in alarms.alarms_of(conn, config, now())], [f["code"] for f in found]


def test_what_is_classified_higher_than_the_vault_may_hold_is_told_until_it_is_not(site: Site) -> None:
    ((name,),) = site.rows("SELECT id FROM recording")
    registers.enter(site.config, "cases", {"filing_number": "立-1", "name": "案", "kind": "penalty"})
    tagging.tag(site.config, [name], tagging.Wanted("立-1"))
    config = with_highest(site.config, "内部")
    done: dict[str, Any] = spoken.classify(config, name, "秘密", ["商业秘密"])
    assert done["above"] == ["local"] and "超出存储许可" in done["said"]
    for codes, expected in zip(told(site, config), ("classified-above-vault", "above-vault"), strict=True):
        assert expected in codes
    assert "classified-above-vault" not in told(site, site.config)[0], "a vault that says nothing"
    assert spoken.classify(config, name, "内部", [])["above"] == []
    for codes, expected in zip(told(site, config), ("classified-above-vault", "above-vault"), strict=True):
        assert expected not in codes
    assert site.run("fsck").returncode == 0


def test_a_word_that_is_no_classification_changes_nothing(site: Site) -> None:
    ((name,),) = site.rows("SELECT id FROM recording")
    with pytest.raises(UsageError, match="no classification"):
        spoken.classify(site.config, name, "internal", [])
    done = site.run("recordings", "classify", name, "--as", "绝密", "--json")
    assert (done.returncode, json.loads(done.stdout)["above"]) == (0, [])


def test_a_vault_that_says_another_word_is_a_wrong_configuration(site: Site) -> None:
    text = site.config_file.read_text(encoding="utf-8").replace("[[vault]]\n", '[[vault]]\nhighest = "internal"\n')
    site.config_file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"vault.1.highest"):
        load(site.config_file)
