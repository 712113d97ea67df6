"""Acts: who may do what, and which of them want a second pair of eyes (承办人, 审核人, 批准人; Article 34).

An act has a handler, who does it. Where the unit wants a reviewer or an approver as well, it has no effect before they have
signed. Who may sign is a natural person under an account of their own: root and shared accounts are nobody, and nobody signs for
themselves.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from mediad.model.people import Person, Role
from mediad.model.problems import Problem

Signature = Literal["reviewer", "approver"]
"""审核人, 批准人."""

ROOT: Final = "root"


@dataclass(frozen=True, slots=True)
class Act:
    """``roles``: any of them may; ``wants``: who must sign besides, in this order; ``own``: only a person under an account of their
    own, whatever the unit lets accounts of nobody do."""

    name: str
    roles: frozenset[Role]
    wants: tuple[Signature, ...] = ()
    own: bool = False


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a login of the operating system, and the person that it is of, if that is registered."""

    login: str
    person: Person | None = None


_ANYBODY: Final = frozenset(Role) - {Role.AUDITOR}
_OFFICE: Final = frozenset({Role.DOCK_OPERATOR, Role.ARCHIVIST, Role.STORAGE_ADMINISTRATOR, Role.APPROVER})
_KEEPERS: Final = frozenset({Role.ARCHIVIST})
_REGISTRARS: Final = frozenset({Role.STORAGE_ADMINISTRATOR, Role.ARCHIVIST, Role.APPROVER})

ACTS: Final[Mapping[str, Act]] = {
    act.name: act
    for act in (
        Act("register-person", _REGISTRARS),
        Act("register-department", _REGISTRARS),
        Act("register-key", _REGISTRARS, ("approver",), own=True),
        Act("register-first-key", _REGISTRARS, own=True),
        Act("withdraw-key", _ANYBODY, own=True),
        Act("register-recorder", frozenset({Role.STORAGE_ADMINISTRATOR, Role.DOCK_OPERATOR})),
        Act("name-slot", frozenset({Role.STORAGE_ADMINISTRATOR, Role.DOCK_OPERATOR})),
        Act("move-recorder", _OFFICE),
        Act("enter-trip", _ANYBODY),
        Act("backdate-trip", _ANYBODY, ("approver",)),
        Act("approve-trip", frozenset({Role.APPROVER}), own=True),
        Act("register-case", _ANYBODY),
        Act("tag", _ANYBODY),
        Act("set-time", _ANYBODY),
        Act("set-carrier", _ANYBODY),
        Act("classify", _ANYBODY),
        Act("non-duty", _ANYBODY),
        Act("late-reason", _ANYBODY),
        Act("mark-met", _ANYBODY),
        Act("no-recording", _ANYBODY),
        Act("conclude-case", _ANYBODY),
        Act("archive-case", _KEEPERS),
        Act("sign-handover", _ANYBODY),
        Act("test-message", _OFFICE),
        Act("adopt-rules", frozenset({Role.STORAGE_ADMINISTRATOR})),
        Act("export", frozenset({Role.ARCHIVIST, Role.DOCK_OPERATOR}), ("approver",)),
        Act("disposal", _KEEPERS, ("reviewer", "approver")),
    )
}
"""Every act that asks for a right, as shipped. What an act wants besides is the unit's to say."""

TWO_PERSON: Final = frozenset({"backdate-trip", "disposal", "register-key"})
"""Acts that never do without their approver, whatever the configuration says."""

NEVER_SIGNED: Final = frozenset({"sign-handover", "register-first-key", "withdraw-key", "approve-trip"})
"""Acts that want no signature besides: two people's by themselves, a signature themselves, or only taking a right away, which must
not wait."""


def refusal(act: Act, actor: Actor, *, unmapped: Literal["flag", "refuse"] = "flag") -> Problem | None:
    """Why somebody may not do an act; None if they may. An account that is nobody's acts under its own name, where the unit lets
    it: it had to become the service's user first."""
    person = actor.person
    if act.own and (problem := no_signature(actor)):
        return problem
    if person is None:
        if unmapped == "flag":
            return None
        return Problem("unmapped", f"the account {actor.login} belongs to no registered person")
    if not person.active:
        return Problem("inactive", f"{person.name} is no longer active")
    if not act.roles & person.roles:
        wanted = ", ".join(sorted(act.roles))
        return Problem("no-right", f"{person.name} has none of the roles that may do this: {wanted}")
    return None


def no_signature(signer: Actor) -> Problem | None:
    """Why somebody can sign nothing at all; None for a natural person under an account of their own. Never None without a
    person."""
    person = signer.person
    if signer.login == ROOT or person is None:
        return Problem("nobody", f"the account {signer.login} is of no registered person, and cannot sign")
    if person.shared:
        return Problem("shared", f"the account of {person.name} is shared, and cannot sign")
    if not person.active:
        return Problem("inactive", f"{person.name} is no longer active")
    return None


def signing_refusal(
    act: Act, as_: Signature, signer: Actor, handler: Actor, signed: Mapping[Signature, str]
) -> Problem | None:
    """Why somebody may not sign an act; None if they may. ``signed``: who signed before, by the id of the person."""
    if as_ not in act.wants:
        return Problem("not-wanted", f"{act.name} wants no {as_}")
    if as_ in signed:
        return Problem("signed-already", f"the {as_} has signed already")
    if earlier := [s for s in act.wants[: act.wants.index(as_)] if s not in signed]:
        return Problem("not-yet", f"the {earlier[0]} has to sign first")
    person = signer.person
    if (problem := no_signature(signer)) is not None or person is None:
        return problem
    if as_ == "approver" and Role.APPROVER not in person.roles:
        return Problem("no-right", f"{person.name} is no approver (批准人)")
    if not _ANYBODY & person.roles:
        return Problem("no-right", f"{person.name} only looks, and signs nothing")
    if (
        person.id in signed.values()
        or signer.login == handler.login
        or (handler.person and handler.person.id == person.id)
    ):
        return Problem("own-act", f"{person.name} has a part in this already: another person has to sign")
    return None


def refusing_refusal(actor: Actor, handler: Actor) -> Problem | None:
    """Why somebody may not say that an act is to have no effect; None for its handler, and for whoever could sign one."""
    if actor.login == handler.login or (actor.person and handler.person and actor.person.id == handler.person.id):
        return None
    if (problem := no_signature(actor)) is not None or actor.person is None:
        return problem
    if not _ANYBODY & actor.person.roles:
        return Problem("no-right", f"{actor.person.name} only looks, and refuses nothing")
    return None
