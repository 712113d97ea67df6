"""Who bore a number on a day, and who may do and sign what."""

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediad.config.rules import Acts
from mediad.model.acts import ACTS, Actor, refusal, refusing_refusal, signing_refusal
from mediad.model.people import Dated, Numbers, Person, Role, bearers, problems

LI = Person("per-li", "210001", "李明", roles=frozenset({Role.OFFICER}), logins=frozenset({"liming"}),
            certificates=(Dated("210001", until=date(2026, 6, 30)), Dated("210777", date(2026, 7, 1))),
            device_numbers=(Dated("000012", date(2026, 1, 1), date(2026, 3, 31)),))  # fmt: skip
WANG = Person("per-wang", "210002", "王芳", roles=frozenset({Role.APPROVER, Role.OFFICER}), logins=frozenset({"wangfang"}),
              certificates=(Dated("210002"),), device_numbers=(Dated("000012", date(2026, 4, 1)),))  # fmt: skip
ZHAO = replace(WANG, id="per-zhao", name="赵强", logins=frozenset({"zhaoq"}), certificates=(), device_numbers=())


@pytest.mark.parametrize(
    ("day", "name"), [(date(2026, 3, 31), "李明"), (date(2026, 4, 1), "王芳"), (date(2025, 12, 31), None)]
)
def test_a_device_number_that_changed_hands_is_of_who_bore_it_that_day(day: date, name: str | None) -> None:
    assert [p.name for p in bearers([LI, WANG], "000012", day)] == ([name] if name else [])


def test_a_certificate_number_goes_before_a_device_number() -> None:
    odd = replace(LI, device_numbers=(Dated("210002"),))
    assert bearers([odd, WANG], "210002", date(2026, 5, 1)) == [WANG]


def test_the_certificate_on_a_day_is_the_one_that_held_then() -> None:
    days = (date(2026, 6, 30), date(2026, 7, 1))
    assert [LI.certificate(day) for day in days] == ["210001", "210777"]
    assert ZHAO.certificate(days[0]) == ""


def test_a_number_borne_by_two_at_the_same_time_is_a_problem() -> None:
    clash = replace(LI, device_numbers=(Dated("000012", date(2026, 4, 1)),))
    assert [p.code for p in problems(clash, [WANG])] == ["number-taken"]
    assert not list(problems(LI, [WANG]))
    assert not list(problems(LI, [LI])), "nobody stands in their own way"


def test_what_is_wrong_with_a_person_is_said_one_by_one() -> None:
    wrong = replace(
        LI, name=" ", logins=frozenset({"wangfang"}), certificates=(Dated("", date(2026, 2, 1), date(2026, 1, 1)),)
    )
    assert [p.code for p in problems(wrong, [WANG])] == [
        "bad-name",
        "bad-number",
        "ends-before-it-begins",
        "login-taken",
    ]


days = st.none() | st.dates(date(2026, 1, 1), date(2026, 2, 1))


@given(days, days, days, days)
def test_two_periods_meet_if_and_only_if_they_share_a_day(
    a: date | None, b: date | None, c: date | None, d: date | None
) -> None:
    one, two = Dated("1", a, b), Dated("1", c, d)
    all_days = [date.fromordinal(n) for n in range(date(2025, 12, 30).toordinal(), date(2026, 2, 4).toordinal())]
    empty = (a and b and b < a) or (c and d and d < c)
    if not empty:
        assert one.meets(two) == any(one.holds(day) and two.holds(day) for day in all_days) == two.meets(one)


DISPOSAL, TAG, ARCHIVE = ACTS["disposal"], ACTS["tag"], ACTS["archive-case"]


def test_a_right_comes_with_a_role() -> None:
    assert refusal(TAG, Actor("liming", LI)) is None
    assert refusal(ARCHIVE, Actor("liming", LI)).code == "no-right"  # type: ignore[union-attr]
    assert refusal(TAG, Actor("liming", replace(LI, active=False))).code == "inactive"  # type: ignore[union-attr]


def test_an_account_of_nobody_acts_under_its_own_name_where_the_unit_lets_it() -> None:
    assert refusal(ARCHIVE, Actor("root")) is None
    assert refusal(ARCHIVE, Actor("root"), unmapped="refuse").code == "unmapped"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("signer", "code"),
    [
        (Actor("root"), "nobody"),
        (Actor("root", WANG), "nobody"),
        (Actor("guest"), "nobody"),
        (Actor("wangfang", replace(WANG, shared=True)), "shared"),
        (Actor("wangfang", replace(WANG, active=False)), "inactive"),
        (Actor("liming", LI), "no-right"),
        (Actor("zhaoq", ZHAO), "own-act"),
        (Actor("other", replace(ZHAO, logins=frozenset({"other"}))), "own-act"),
        (Actor("wangfang", WANG), None),
    ],
)
def test_who_cannot_approve(signer: Actor, code: str | None) -> None:
    """Root, shared accounts, strangers, and whoever has a part in it already."""
    found = signing_refusal(DISPOSAL, "approver", signer, Actor("liming", LI), {"reviewer": "per-zhao"})
    assert (found.code if found else None) == code


@pytest.mark.parametrize(
    ("actor", "code"),
    [
        (Actor("liming", LI), None),
        (Actor("other", replace(LI, active=False)), None),
        (Actor("wangfang", WANG), None),
        (Actor("root"), "nobody"),
        (Actor("wangfang", replace(WANG, active=False)), "inactive"),
        (Actor("wangfang", replace(WANG, shared=True)), "shared"),
        (Actor("wangfang", replace(WANG, roles=frozenset({Role.AUDITOR}))), "no-right"),
    ],
)
def test_an_act_is_refused_by_its_handler_or_by_who_could_sign_it(actor: Actor, code: str | None) -> None:
    found = refusing_refusal(actor, Actor("liming", LI))
    assert (found.code if found else None) == code


def test_an_act_of_nobodys_account_is_refused_under_it() -> None:
    assert refusing_refusal(Actor("guest"), Actor("guest")) is None
    assert refusing_refusal(Actor("guest"), Actor("other")).code == "nobody"  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["register-key", "register-first-key", "withdraw-key", "approve-trip"])
def test_who_counts_as_a_person_is_no_matter_of_accounts_of_nobody(name: str) -> None:
    """Keys and approvals: whatever the unit lets accounts of nobody do."""
    shared = Actor("desk", replace(WANG, shared=True))
    assert [refusal(ACTS[name], actor).code for actor in (Actor("root"), shared)] == ["nobody", "shared"]  # type: ignore[union-attr]
    assert refusal(ACTS[name], Actor("wangfang", WANG)) is None


def test_only_an_approver_approves_a_trip() -> None:
    assert refusal(ACTS["approve-trip"], Actor("liming", LI)).code == "no-right"  # type: ignore[union-attr]


def test_what_wants_a_signature_as_shipped() -> None:
    assert {act.name: act.wants for act in ACTS.values() if act.wants} == {
        "register-key": ("approver",), "backdate-trip": ("approver",), "export": ("approver",),
        "disposal": ("reviewer", "approver"),
    }  # fmt: skip


def test_no_configuration_takes_an_approver_away_or_adds_a_signature_to_a_signature() -> None:
    for name in ("register-key", "backdate-trip", "disposal"):
        with pytest.raises(ValueError, match=f"{name} cannot do without its approver"):
            Acts(wants={name: ("reviewer",)})
    for name in ("sign-handover", "register-first-key", "withdraw-key", "approve-trip"):
        with pytest.raises(ValueError, match=f"{name} wants no signature besides"):
            Acts(wants={name: ("approver",)})
    assert Acts(wants={"tag": ("reviewer",)}).act("tag").wants == ("reviewer",)


def test_nobody_signs_for_themselves_by_another_account_or_before_theirs_was_known() -> None:
    for handler in (Actor("other", WANG), Actor("wangfang")):
        found = signing_refusal(DISPOSAL, "approver", Actor("wangfang", WANG), handler, {"reviewer": "per-x"})
        assert found is not None
        assert found.code == "own-act"


def test_a_number_is_found_in_whatever_width_it_was_kept() -> None:
    kept = replace(LI, certificates=(Dated("２１０ ００１"),))
    for number in ("210001", "２１０００１", " 210 001"):
        assert bearers([kept, WANG], number, date(2026, 5, 1)) == [kept]
        assert Numbers([kept, WANG]).of(number, date(2026, 5, 1)) == [kept]


def test_of_two_certificates_that_hold_the_one_that_began_last_counts() -> None:
    both = replace(LI, certificates=(Dated("1"), Dated("2", date(2026, 1, 1))))
    assert both.certificate(date(2026, 5, 1)) == "2"


def test_who_only_looks_signs_nothing() -> None:
    looks = Actor("zhaoq", replace(ZHAO, roles=frozenset({Role.AUDITOR})))
    assert signing_refusal(DISPOSAL, "reviewer", looks, Actor("liming", LI), {}).code == "no-right"  # type: ignore[union-attr]


def test_signatures_come_in_their_order_and_once() -> None:
    handler, wang = Actor("liming", LI), Actor("wangfang", WANG)
    assert signing_refusal(DISPOSAL, "approver", wang, handler, {}).code == "not-yet"  # type: ignore[union-attr]
    assert signing_refusal(DISPOSAL, "reviewer", wang, handler, {"reviewer": "per-x"}).code == "signed-already"  # type: ignore[union-attr]
    assert signing_refusal(TAG, "reviewer", wang, handler, {}).code == "not-wanted"  # type: ignore[union-attr]
    assert signing_refusal(DISPOSAL, "reviewer", handler, handler, {}).code == "own-act"  # type: ignore[union-attr]
