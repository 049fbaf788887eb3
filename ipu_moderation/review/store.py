"""The database: opened, migrated, guarded by triggers, and written to in transactions that carry their audit entries.

SQLite by default: one writer at a time (BEGIN IMMEDIATE), readers beside it (WAL). PostgreSQL by URL: rows are locked, those that somebody else
holds are passed over (SKIP LOCKED), and the chain grows under one advisory lock that every transaction takes last.
"""

from __future__ import annotations

import datetime as dt
import os
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from ipu_moderation.errors import InputError, MissingExtraError
from ipu_moderation.review.audit import Draft, append

REVISION = "0001"
"""The schema that this code works with: the name of the last migration."""
BUSY_SECONDS = 60
_LOCKS = {"chain": 715_001, "submit": 715_002, "migrate": 715_003}


def microseconds(when: dt.datetime) -> int:
    """A time as the tables hold it.

    Raises:
        InputError: when it has no time zone.
    """
    if when.tzinfo is None:
        raise InputError("a time without a time zone: add one, for example +00:00")
    return (when - _EPOCH) // dt.timedelta(microseconds=1)


_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)


def moment(value: int) -> dt.datetime:
    """The reverse of `microseconds`, in UTC."""
    return _EPOCH + dt.timedelta(microseconds=value)


def utc_now() -> dt.datetime:
    """The clock, when tests set no other."""
    return dt.datetime.now(dt.timezone.utc)


#: Open databases: a forked process must not use its parent's connections.
_ENGINES: weakref.WeakSet[sa.Engine] = weakref.WeakSet()


def _forget_connections() -> None:
    for engine in list(_ENGINES):
        engine.dispose(close=False)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_connections)


class Work:
    """One transaction: a connection, and the audit entries that are written with it or not at all."""

    def __init__(self, connection: sa.Connection, now: dt.datetime, postgres: bool) -> None:
        self.connection = connection
        self.now = microseconds(now)
        self._at = moment(self.now).isoformat(timespec="microseconds")
        self._postgres = postgres
        self._drafts: list[Draft] = []

    def execute(self, statement: Any, values: Any = None) -> sa.CursorResult[Any]:
        """Run a statement."""
        return self.connection.execute(statement, values) if values is not None else self.connection.execute(statement)

    def note(self, kind: str, item: str, actor: str, **body: Any) -> None:
        """Put down what is being done; it joins the chain when the transaction ends."""
        self._drafts.append(Draft(kind, item, actor, body, self._at))

    def lock(self, name: str) -> None:
        """Wait until no other transaction holds the lock of this name. On SQLite a writer holds them all."""
        if self._postgres:
            self.connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCKS[name])))

    def close(self) -> None:
        """Write the entries. The chain's lock comes last, so that it is held shortly and never waited for in a circle."""
        if self._drafts:
            self.lock("chain")
            append(self.connection, self._drafts)


class Store:
    """An open database. Safe for threads; after a fork each process opens connections of its own."""

    def __init__(self, url: str, *, clock: Callable[[], dt.datetime] = utc_now) -> None:
        """Open, and bring an empty or older database to this version.

        Args:
            url: a SQLAlchemy URL, or the path of a SQLite file.
            clock: what time it is; tests set their own.

        Raises:
            InputError: when it cannot be opened, or was made by a newer version.
            MissingExtraError: when the driver is not installed.
        """
        self.url = url if "://" in url else f"sqlite:///{Path(url)}"
        if self.url.startswith("postgresql://"):
            self.url = "postgresql+psycopg://" + self.url.removeprefix("postgresql://")
        self.clock = clock
        try:
            self.engine = sa.create_engine(self.url, **({"connect_args": {"timeout": BUSY_SECONDS}} if self.url.startswith("sqlite") else {"pool_pre_ping": True}))
        except ImportError as error:
            raise MissingExtraError("a PostgreSQL database", "postgres") from error
        except (ArgumentError, NoSuchModuleError) as error:
            raise InputError("this is no database URL: use a file's path, sqlite:///FILE or postgresql://USER@HOST/NAME") from error
        self.postgres = self.engine.dialect.name == "postgresql"
        if not self.postgres and self.engine.dialect.name != "sqlite":
            raise InputError(f"{self.engine.dialect.name} databases are not tested: use a file's path, sqlite:///FILE or postgresql://USER@HOST/NAME")
        if not self.postgres:
            sa.event.listen(self.engine, "connect", _open_sqlite)
            sa.event.listen(self.engine, "begin", _begin_sqlite)
        _ENGINES.add(self.engine)
        try:
            self._migrate()
        except DBAPIError as error:
            what = type(error.orig).__name__
            raise InputError(f"{self.shown}: the database cannot be opened: {what}. Does the directory or the server exist, and may you write there?") from error

    @property
    def shown(self) -> str:
        """The URL without its password."""
        return self.engine.url.render_as_string(hide_password=True)

    @contextmanager
    def write(self) -> Iterator[Work]:
        """A transaction that writes: all of it and its audit entries, or nothing."""
        with self.engine.connect() as connection, connection.execution_options(writes=True).begin():
            work = Work(connection, self.clock(), self.postgres)
            yield work
            work.close()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection that sees one state of the database throughout and changes nothing."""
        with self.engine.connect() as connection:
            if self.postgres:
                connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                yield connection

    def tally(self, work: Work, table: sa.Table, rows: list[Mapping[str, Any]]) -> None:
        """Add `n` to counters, making those that are not there."""
        if not rows:
            return
        keys = [c.name for c in table.primary_key]
        # in one order for all, so that two transactions never wait for each other's counters
        ordered = sorted(rows, key=lambda row: [str(row[k]) for k in keys])
        work.execute(_counting(table, self.postgres), ordered)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _migrate(self) -> None:
        if self._revision() == REVISION:
            return
        with self.write() as work:
            work.lock("migrate")
            revision = self._revision(work.connection)
            if revision == REVISION:  # another process was faster
                return
            from alembic import command
            from alembic.config import Config
            from alembic.util.exc import CommandError

            config = Config()
            config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
            config.attributes["connection"] = work.connection
            try:
                command.upgrade(config, "head")
            except CommandError as error:
                raise InputError(f"{self.shown}: made by a newer version of this package (schema {revision}; this one knows {REVISION}). Install that version") from error

    def _revision(self, connection: sa.Connection | None = None) -> str | None:
        if connection is None:
            with self.read() as fresh:
                return self._revision(fresh)
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


@lru_cache
def _counting(table: sa.Table, postgres: bool) -> sa.Insert:
    statement: Any = (postgresql if postgres else sqlite).insert(table)
    counting: sa.Insert = statement.on_conflict_do_update(index_elements=[c.name for c in table.primary_key], set_={"n": table.c.n + statement.excluded.n})
    return counting


def _open_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy's own BEGIN below, not the driver's
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "secure_delete=ON", "temp_store=MEMORY", "cache_size=-65536"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")
