"""What the process that forks runs of the program has ready (``tests/program.py``); nobody else imports it."""

import functools
from pathlib import Path

import alembic.command  # noqa: F401
import typer.main

import mediad
import mediad.deriver
import mediad.fsck
import mediad.session
import mediad.wiring.audit
import mediad.wiring.bureau.filing
import mediad.wiring.bureau.handover
import mediad.wiring.bureau.registers
import mediad.wiring.derive
import mediad.wiring.docking
from mediad.catalog import schema
from mediad.cli.main import add_commands
from mediad.edges.profiles import load_profiles

# The words of a command are worked out of the types of its function: once is enough.
typer.main.get_params_from_function = functools.cache(typer.main.get_params_from_function)
_commands = typer.Typer()
add_commands(_commands)
typer.main.get_command(_commands)
schema._migrated()
# Patterns are judged and compiled once.
load_profiles([Path(mediad.__file__).parent / "recorders"])
