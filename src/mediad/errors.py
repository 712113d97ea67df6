"""One tree of errors.

Every expected failure is one of these. A message is one clear sentence for the person at the station, ``hint`` says what
to do about it, ``code`` is stable and documented (docs/errors.md), ``retry`` says who may simply try again:

``never``   only a person or a changed configuration helps
``later``   the same call may succeed later (a vault is full or offline, another process holds the source)
``redock``  the recorder has to be docked again
"""

from typing import ClassVar, Literal

Retry = Literal["never", "later", "redock"]


class MediadError(Exception):
    """Base of all expected failures."""

    default_code: ClassVar[str] = "error"
    retry: ClassVar[Retry] = "never"

    def __init__(self, message: str, *, hint: str = "", code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code or self.default_code


class UsageError(MediadError):
    """The command was called in a way that cannot mean anything."""

    default_code = "usage"


class ConfigError(UsageError):
    """The configuration is wrong; the message names file, key and value."""

    default_code = "config"


class NotFound(MediadError):
    """What was asked for does not exist."""

    default_code = "not-found"


class Refused(MediadError):
    """A policy or a missing right forbids it."""

    default_code = "refused"


class StorageError(MediadError):
    """A vault or the catalogue could not do its part."""

    default_code = "storage"
    retry: ClassVar[Retry] = "later"


class NotDrawn(StorageError):
    """A form on paper could not be made."""

    default_code = "form-failed"


class VaultFull(StorageError):
    """A vault has less free space than its reserve; ingest pauses."""

    default_code = "vault-full"


class VaultOffline(StorageError):
    """A vault is not there, or is not the one that was registered."""

    default_code = "vault-offline"


class IntegrityError(StorageError):
    """Bytes are not what they must be. Never retried away: it is an alarm."""

    default_code = "integrity"
    retry = "never"


class FolderElsewhere(IntegrityError):
    """A folder deep in a vault leads out of it: what lies there is not the vault's own."""

    default_code = "folder-elsewhere"


class KeyConflict(IntegrityError):
    """A vault key that must never change was offered different bytes."""

    default_code = "key-conflict"


class CatalogError(StorageError):
    """The catalogue is missing, of another version, or cannot be written."""

    default_code = "catalog"
    retry = "never"


class DeviceError(MediadError):
    """A recorder, or its mount, failed."""

    default_code = "device"
    retry: ClassVar[Retry] = "redock"


class DeviceGone(DeviceError):
    """The recorder was taken away."""

    default_code = "device-gone"


class SourceError(DeviceError):
    """One file on a recorder cannot be taken now: unreadable, vanished, or changing while it is read."""

    default_code = "source"


class Busy(MediadError):
    """Somebody else is at it; try again later."""

    default_code = "busy"
    retry = "later"


class Undelivered(MediadError):
    """A message did not reach its server, or the server did not take it."""

    default_code = "undelivered"
    retry = "later"


class Stopping(MediadError):
    """The process is asked to stop; what is stored stays, the rest is taken at the next docking."""

    default_code = "stopping"
    retry = "redock"
