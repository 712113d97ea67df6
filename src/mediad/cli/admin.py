"""`mediad config | recorder | catalog | doctor`: for whoever sets the station up."""

import sys
from typing import Annotated, Any

import typer

from mediad.cli import common
from mediad.errors import MediadError, UsageError

config_app = typer.Typer(help="The configuration.", no_args_is_help=True)
recorder_app = typer.Typer(help="Registered recorders (执法记录仪).", no_args_is_help=True)
catalog_app = typer.Typer(help="The catalogue.", no_args_is_help=True)

_LONGEST = 100

AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


def register(app: typer.Typer) -> None:
    app.add_typer(config_app, name="config")
    app.add_typer(recorder_app, name="recorder")
    app.add_typer(catalog_app, name="catalog")
    app.command()(doctor)


@config_app.command("check")
def config_check(as_json: AsJson = False) -> None:
    """Read the configuration and every recorder profile, and say what they come to. Exit code 2 if it cannot work."""
    from mediad.edges.profiles import load_profiles
    from mediad.wiring.check import config_problems

    config = common.load_config()
    profiles = load_profiles(config.devices.profiles)
    problems = [{"key": key, "detail": detail} for key, detail in config_problems(config)]
    if as_json:
        shown = {"config": config.model_dump(mode="json"), "profiles": [p.name for p in profiles]}
        common.print_json({**shown, "findings": problems})
    else:
        verdict = f"{len(problems)} 项发现 findings" if problems else "配置无误 the configuration is fine"
        common.say(f"{verdict}: unit {config.unit.name}, station {config.station.id}")
        for problem in problems:
            common.say(f"  发现 finding {problem['key']}: {problem['detail']}")
        common.say(f"  catalogue {config.catalog.url}")
        for v in config.vault:
            common.say(f"  vault {v.name}: {v.path}")
        for f in config.folder:
            common.say(f"  folder {f.name}: {f.path} ({f.channel})")
        common.say(f"  profiles: {', '.join(p.name for p in profiles) or 'none, the built-in generic one'}")
    if problems:
        sys.exit(2)


@recorder_app.command("add")
def recorder_add(
    serial: Annotated[
        str, typer.Argument(help="Serial number, as it stands behind `serial:` in a record's recorder.key.")
    ],
    also: Annotated[
        list[str] | None, typer.Option("--serial", help="Another serial number of the same recorder; may be repeated.")
    ] = None,
    name: Annotated[str, typer.Option(help="What people call it, e.g. 07号.")] = "",
    profile: Annotated[str, typer.Option(help="Profile that it should have.")] = "",
    uuid: Annotated[
        list[str] | None,
        typer.Option(help="File system UUID, for a card without a serial of its own; may be repeated."),
    ] = None,
) -> None:
    """Register a recorder: from now on its dockings are no longer flagged as unregistered. Once more, with other options, gives
    it further keys, another name or another profile."""
    from mediad.wiring.bureau.equipment import register_recorder
    from mediad.wiring.check import check_profile

    serials, uuids = [serial, *(also or [])], uuid or []
    texts = [*(("serial number", s) for s in serials), ("name", name), *(("file system UUID", u) for u in uuids)]
    for what, text in texts:
        if not text.isprintable() or len(text) > _LONGEST:
            raise UsageError(f"a {what} has at most {_LONGEST} printable characters", hint="type it, do not paste it")
        if what != "name" and not text.strip():
            raise UsageError(f"a {what} is not empty")
    config = common.load_config()
    check_profile(config, profile)
    keys = [*(f"serial:{s}" for s in serials), *(f"fsuuid:{u}" for u in uuids)]
    registered = register_recorder(config, serial, keys, name=name, profile=profile)
    told = registered["said"] if registered["waits"] else f"= {registered['name']}"
    common.say(f"{', '.join(registered['keys'])} {told}")


@recorder_app.command("clock")
def recorder_clock(
    photo: Annotated[
        str, typer.Argument(metavar="ASSET", help="A photo (ast-) that the recorder took of a right clock.")
    ],
    shown: Annotated[
        str, typer.Option(help="What that clock shows, such as 2026-11-24 09:30:05 (the unit's time).")
    ] = "",
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="What was measured at that docking counts no more.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure a recorder's clock by a photo of the station's clock: what came with the same docking is corrected by it, and what
    the recorder said is kept."""
    from datetime import UTC, datetime

    from mediad.wiring.bureau.equipment import measure_clock

    config = common.load_config()
    at = None
    if withdraw == bool(shown):
        raise UsageError("give either --shown or --withdraw")
    if shown:
        try:
            at = datetime.fromisoformat(shown)
            at = (at if at.tzinfo else at.replace(tzinfo=config.unit.zone)).astimezone(UTC)
        except (ValueError, OverflowError):
            raise UsageError(f"{shown} is no time", hint="write it like 2026-11-24 09:30:05") from None
    told = measure_clock(config, photo, at)
    if as_json:
        common.print_json(told)
        return
    if told["waits"]:
        common.say(f"{told['docking']}: {told['said']}")
        return
    if at is None:
        common.say(f"{told['docking']}: 时钟校正已撤回 what was measured of its clock counts no more")
        return
    seconds = told["offset_ms"] / 1000
    word = "快 ahead" if seconds > 0 else "慢 behind"
    common.say(f"{told['docking']}: 执法记录仪时钟 the recorder's clock is {abs(seconds):.0f} s {word}")


@recorder_app.command("list")
def recorder_list(as_json: AsJson = False) -> None:
    """List registered recorders."""
    from mediad.catalog import evidence

    with common.ledger(common.load_config()) as ledger, ledger.catalog.read() as conn:
        rows = evidence.recorders(conn)
    if as_json:
        common.print_json(rows)
        return
    for r in rows:
        common.say(f"{r['label']:20}  {r['name']:12}  {', '.join(r['keys'])}")


@catalog_app.command("upgrade")
def catalog_upgrade() -> None:
    """Bring an older catalogue to this program's version, as every start does; a copy of it stays beside it."""
    from mediad.catalog import db
    from mediad.wiring.station import upgrade

    upgrade(common.load_config())
    common.say(f"the catalogue has version {db.SCHEMA}")


def doctor(as_json: AsJson = False) -> None:
    """Check what the station needs of this machine. Exit code 5 if something that it cannot do without is missing."""
    from mediad.wiring.look import doctor_checks

    config = common.load_config()
    checks: list[dict[str, Any]] = []
    for what, needed, check in doctor_checks(config):
        try:
            checks.append({"what": what, "ok": True, "needed": needed, "detail": check(), "hint": ""})
        except MediadError as e:
            checks.append({"what": what, "ok": False, "needed": needed, "detail": e.message, "hint": e.hint})
    if as_json:
        common.print_json(checks)
    else:
        for c in checks:
            mark = "✓" if c["ok"] else "✗" if c["needed"] else "-"
            common.say(f"{mark} {c['what']}: {c['detail']}")
            if c["hint"]:
                common.say(f"    -> {c['hint']}")
    if any(not c["ok"] and c["needed"] for c in checks):
        sys.exit(5)
