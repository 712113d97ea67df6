"""Opening the catalogue, and the one writer thread through which every change of a process goes."""

import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError, DataError, IntegrityError, NoSuchModuleError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from mediad.errors import Busy, CatalogError, ConfigError, MediadError, Stopping, StorageError

SCHEMA = "0005"
"""The migration that this program needs; tests hold it equal to the newest file in migrations/versions."""

MIGRATIONS = Path(__file__).parent / "migrations"

BUSY_SECONDS = 30
ROOM_BYTES = 1024 * 1024
"""Free bytes on the catalogue's disk below which nothing is written."""

_GROUP = 64

T = TypeVar("T")


def sqlite_path(url: str) -> Path | None:
    """The file of an SQLite URL, or None for another database."""
    parsed = make_url(url)
    return Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None


def _engine(url: str, *, write: bool) -> Engine:
    try:
        engine = create_engine(url, pool_size=1 if write else 4, max_overflow=0 if write else 12)
    except (ImportError, NoSuchModuleError) as e:
        kind = url.partition(":")[0]
        raise ConfigError(
            f"catalog.url: there is no driver for {kind} in this installation",
            hint="only SQLite works yet: write sqlite:///var/catalog.db",
        ) from e
    if engine.dialect.name != "sqlite":
        return engine

    @event.listens_for(engine, "connect")
    def _connect(raw: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
        raw.isolation_level = None  # BEGIN is ours: the driver would begin late, after the chain head was read
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={BUSY_SECONDS * 1000}",
        ):
            raw.execute(f"PRAGMA {pragma}")
        if not write:
            raw.execute("PRAGMA query_only=ON")

    @event.listens_for(engine, "begin")
    def _begin(conn: Connection) -> None:
        conn.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def exists(url: str) -> bool:
    """Whether there is a catalogue at all. An empty or missing SQLite file is none."""
    path = sqlite_path(url)
    if path is not None and (not path.exists() or path.stat().st_size == 0):
        return False
    with _translated():
        # Not mode=ro: what a killed process left half done in the file can only be undone by who may write.
        engine = (
            _engine(url, write=False)
            if path is None
            else create_engine(f"sqlite:///file:{quote(str(path))}?mode=rw&uri=true")
        )
        try:
            return "alembic_version" in inspect(engine).get_table_names()
        finally:
            engine.dispose()


def migrate(url: str) -> None:
    """Create the tables, or bring an older catalogue to this program's version; wholly or not at all."""
    path = sqlite_path(url)
    if path is None or exists(url):
        upgrade(url)
        return
    from mediad.catalog import swap

    building = swap.beside(url, "new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for part in ("", "-journal", "-wal", "-shm"):  # of a creation that was killed
            Path(f"{sqlite_path(building)}{part}").unlink(missing_ok=True)
    except OSError as e:
        raise CatalogError(f"the catalogue cannot be created: {e.strerror}", hint=f"check {path.parent}") from e
    upgrade(building)
    swap.set_aside(
        url, "stray"
    )  # an empty file, or the -wal of a catalogue that is gone: it must not be played into ours
    swap.install(building, url)


def upgrade(url: str) -> None:
    """Run the migrations on a database as it is."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = url
    with _translated():
        command.upgrade(config, "head")


def outdated(url: str) -> str | None:
    """The version of a catalogue that this program can bring to its own; None if it has that version already, or one that this
    program does not know."""
    version = _version(url)
    if version is None or version == SCHEMA:
        return None
    from alembic.script import ScriptDirectory

    older = {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}
    return version if version in older else None


def bring_up_to_date(url: str) -> Path | None:
    """Bring an older catalogue to this program's version, wholly or not at all. Returns the copy of it that was made before;
    None if nothing was to be done, or the database makes its own copies. Nobody else may be at work on it."""
    old = outdated(url)
    if old is None:
        return None
    copy = _copy(url, f"version-{old}")
    upgrade(url)
    return copy


def _copy(url: str, suffix: str) -> Path | None:
    """A consistent copy of the catalogue beside it, durable."""
    from mediad.catalog import swap

    path = sqlite_path(url)
    if path is None:
        return None
    building, copy = swap.beside(url, "copying"), swap.beside(url, swap.free_suffix(url, suffix))
    swap.discard(building)
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as file:
            file.execute("VACUUM INTO ?", (str(sqlite_path(building)),))
    except sqlite3.Error as e:
        raise CatalogError(
            f"the catalogue cannot be copied before its upgrade: {e}", hint=f"check {path} and the room on its disk"
        ) from e
    swap.install(building, copy)
    return sqlite_path(copy)


def _version(url: str) -> str | None:
    with _translated():
        engine = _engine(url, write=False)
        try:
            with engine.connect() as conn:
                return conn.execute(text("SELECT version_num FROM alembic_version")).scalar()
        finally:
            engine.dispose()


@contextmanager
def _translated() -> Iterator[None]:
    """Errors of the database as ours."""
    try:
        yield
    except OperationalError as e:
        reason = str(e.orig)
        if "locked" in reason or "busy" in reason:
            raise Busy("another process is writing to the catalogue", hint="try again in a moment") from e
        if "disk is full" in reason:
            raise _full() from e
        raise CatalogError(f"the catalogue cannot be used: {reason}", hint="check its disk and rights") from e
    except DatabaseError as e:
        raise CatalogError(
            f"the catalogue is damaged: {e.orig}",
            hint="set its file aside and run `mediad rebuild`: the vault holds every fact",
        ) from e


def _full() -> StorageError:
    return StorageError(
        "no space left for the catalogue", hint="make room on its disk; ingest goes on by itself", code="catalog-full"
    )


def _file_of(url: str) -> tuple[int, int] | None:
    """Device and inode of an SQLite catalogue's file; None for another database, or none at all."""
    path = sqlite_path(url)
    try:
        info = path.stat() if path is not None else None
    except OSError:
        return None
    return (info.st_dev, info.st_ino) if info else None


def _closed() -> Stopping:
    return Stopping("the catalogue is closed: mediad is stopping", hint="what is stored stays; start it again")


class _Job:
    __slots__ = ("future", "work")

    def __init__(self, work: Callable[[Connection], Any]) -> None:
        self.work = work
        self.future: Future[Any] = Future()


class Catalog:
    """One open catalogue: ``read`` gives a snapshot, ``write`` runs a function in the writer thread's next transaction.

    Functions handed in at the same time share one commit (and so one fsync), each in a savepoint of its own: one that
    raises is undone and raises at its caller, the others stand. A ``write`` that returned is durable.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._check_version()
        self._reader = _engine(url, write=False)
        self._writer = _engine(url, write=True)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = False
        self._handing_in = threading.Lock()  # nothing is handed in behind the mark that ends the writer
        self._file = _file_of(url)
        self._thread = threading.Thread(target=self._run, name="catalog-writer", daemon=True)
        self._thread.start()

    def _check_version(self) -> None:
        if not exists(self.url):
            raise CatalogError(
                "there is no catalogue",
                hint="the first entry makes one; `mediad rebuild` restores one",
            )
        version = _version(self.url)
        if version != SCHEMA:
            raise CatalogError(
                f"the catalogue has version {version}, this program needs {SCHEMA}",
                hint="an older catalogue: start mediad, or run `mediad catalog upgrade`; a newer one needs a newer mediad",
            )

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read-only snapshot. Raises Stopping once the catalogue is closed."""
        if self._closed:
            raise _closed()
        with _translated(), self._reader.connect() as conn, conn.begin():
            yield conn

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a transaction and return its result once that is committed. Raises what it raises, or Busy/CatalogError;
        Stopping once the catalogue is closed.

        ``work`` does no I/O and no hashing of files: it holds the only write lock of the station.
        """
        job = _Job(work)
        with self._handing_in:
            if self._closed:
                raise _closed()
            self._jobs.put(job)
        result: T = job.future.result()
        return result

    def check(self) -> None:
        """Raise unless a transaction can be opened, the writer thread answers, and the catalogue's file still is the one that was
        opened: for health checks."""
        self.write(lambda _conn: None)

    def close(self) -> None:
        """Finish what was handed in, then close. Safe to call twice."""
        with self._handing_in:
            if self._closed:
                return
            self._closed = True
            self._jobs.put(None)
        self._thread.join()
        self._reader.dispose()
        self._writer.dispose()

    def _run(self) -> None:
        last = False
        while not last:
            first = self._jobs.get()
            if first is None:
                return
            group = [first]
            while len(group) < _GROUP:
                try:
                    more = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    last = True
                    break
                group.append(more)
            self._commit(group)

    def _check_file(self) -> None:
        """A catalogue that was moved or deleted under us would take what nobody finds again."""
        if self._file != _file_of(self.url):
            raise CatalogError(
                "the catalogue was moved away or replaced while it was open",
                hint="put its file back where it was, or restart mediad on the one that is there",
            )

    def _check_room(self) -> None:
        """SQLite writes its index of the log through a mapping: where that finds no block left, the kernel ends the process by a
        signal. So nothing is begun on a disk that is as good as full."""
        path = sqlite_path(self.url)
        if path is None:
            return
        try:
            disk = os.statvfs(path)
        except OSError:
            return  # the transaction will say what is wrong
        if disk.f_bavail * disk.f_frsize < ROOM_BYTES:
            raise _full()

    def _commit(self, group: list[_Job]) -> None:
        results: list[tuple[_Job, Any, BaseException | None]] = []
        try:
            self._check_room()
            with _translated(), self._writer.connect() as conn, conn.begin():
                self._check_file()
                for job in group:
                    try:
                        with conn.begin_nested():
                            results.append((job, job.work(conn), None))
                    except MediadError as e:
                        results.append((job, None, e))
                    except (IntegrityError, DataError) as e:
                        refused = CatalogError(
                            f"the catalogue cannot take this: {e.orig}", hint="report it: mediad is at fault"
                        )
                        results.append((job, None, refused))
                    except DatabaseError:
                        raise
                    except Exception as e:
                        results.append((job, None, e))
        except BaseException as e:
            for job in group:
                job.future.set_exception(e)
            return
        for job, value, error in results:
            if error is None:
                job.future.set_result(value)
            else:
                job.future.set_exception(error)
