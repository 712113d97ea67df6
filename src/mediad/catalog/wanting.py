"""Whether recordings want a case, as conditions of SQL: facts are applied by them, and people ask by them."""

from typing import Any

from sqlalchemy import exists, or_

from mediad.catalog import bureau_tables as b
from mediad.model.deadline import NO_CASE, STORAGE


def answered(recording: Any) -> Any:
    """Whether a recording is of a case, or of no duty."""
    g, s = b.tag.c, b.said_of.c
    tagged = exists().where(g.recording == recording, g.state == "set")
    return or_(tagged, exists().where(s.recording == recording, s.what == "excused"))


def exempt(recording: Any) -> Any:
    """Whether it need be of none, by what Article 28 comes to for it."""
    d = b.deadline.c
    return exists().where(d.rule == STORAGE, d.subject == recording, d.state.in_(NO_CASE))
