"""What is wrong with something that a person entered: a finding, never an exception."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """A stable code, and one clear sentence that names the value."""

    code: str
    detail: str
