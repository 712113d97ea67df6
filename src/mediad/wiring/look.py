"""Small looks at vaults and at this machine, for commands that only show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mediad.config import Config, VaultSection
from mediad.edges.profiles import load_profiles
from mediad.edges.pump import BufferPool
from mediad.errors import MediadError, StorageError
from mediad.wiring.station import now, open_ledger, open_vault


def vault_state(config: Config, section: VaultSection) -> dict[str, Any]:
    """A vault's state for people: online, or why not; and its space in bytes."""
    from mediad.catalog import evidence

    vault = open_vault(section, config, BufferPool())
    answer: dict[str, Any] = {
        "name": section.name, "kind": section.kind, "path": str(section.path), "dedicated": section.dedicated,
        "free": None, "total": None,
    }  # fmt: skip
    ledger = open_ledger(config)
    try:
        with ledger.catalog.read() as conn:
            markers = {row.name: row.marker for row in evidence.vaults(conn)}
        vault.expect(markers.get(section.name))
        space = vault.space()
        answer |= {"state": "online", "free": space.free, "total": space.total}
    except MediadError as e:
        answer["state"] = e.message
    finally:
        ledger.catalog.close()
    return answer


def read_first_vault(config: Config, key: str) -> bytes:
    """A small object of the first vault."""
    return open_vault(config.vault[0], config, BufferPool()).get(key)


def doctor_checks(config: Config) -> list[tuple[str, bool, Callable[[], str]]]:
    """What to check, whether the station cannot do without it, and the check: it returns a detail or raises MediadError."""
    from mediad.edges.mount import Udisks
    from mediad.edges.mtp import Mtp

    def clock() -> str:
        return f"{now().astimezone(config.unit.zone).isoformat(timespec='seconds')}"

    def catalogue() -> str:
        ledger = open_ledger(config)
        try:
            ledger.catalog.check()
        finally:
            ledger.catalog.close()
        return config.catalog.url

    def profiles() -> str:
        return f"{len(load_profiles(config.devices.profiles))} profiles"

    def vault() -> str:
        state = vault_state(config, config.vault[0])
        if state["state"] != "online":
            raise StorageError(state["state"], hint=f"check {config.vault[0].path}")
        return f"{config.vault[0].path}, {state['free'] // 2**30} GiB free"

    def parsers() -> str:
        from mediad.wiring.media import sandbox

        return sandbox(config.derive).check()

    def encoder() -> str:
        from mediad.wiring.media import encoder_used

        return encoder_used(config.derive) if config.derive.previews else "derive.previews is false"

    def direct() -> str:
        return open_vault(config.vault[0], config, BufferPool()).probe_medium()

    usb = config.devices.usb
    return [
        ("时钟 clock", True, clock),
        ("目录 catalogue", True, catalogue),
        ("储存器 vault", True, vault),
        ("介质回读 reading from the medium", True, direct),
        ("配置 recorder profiles", True, profiles),
        ("udisks2", usb, lambda: Udisks().available()),
        ("沙箱 sandbox of the media parsers", False, parsers),
        ("视频编码器 video encoder of previews", False, encoder),
        ("MTP (systemd, jmtpfs)", False, lambda: Mtp().available()),
    ]
