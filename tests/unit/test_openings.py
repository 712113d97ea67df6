"""Several processes open one station at the same moment: the first founds it, the others find it, nobody is turned away."""

import subprocess
import sys
from pathlib import Path

from tests.support import Site, complaints, make_card, noise


def test_cards_docked_at_once_on_a_station_that_never_ran_are_all_taken(site: Site, tmp_path: Path) -> None:
    contents = [noise(3_000 + n, n) for n in range(4)]
    cards = [make_card(tmp_path / f"card{n}", {f"{n}.mp4": data}) for n, data in enumerate(contents)]
    command = [sys.executable, "-m", "mediad.cli.main", "-c", str(site.config_file), "ingest", "--json"]
    children = [
        subprocess.Popen([*command, str(card)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for card in cards
    ]
    ends = [(child.communicate(timeout=120)[1], child.returncode) for child in children]
    assert [code for _, code in ends] == [0] * 4, ends
    assert complaints(site, contents) == []
    assert site.rows("SELECT count(*) FROM custody WHERE kind IN ('station.founded', 'vault.registered')") == [(2,)]
