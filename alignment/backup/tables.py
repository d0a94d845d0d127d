"""The database in a backup: each table's rows as PostgreSQL's COPY writes them, in one snapshot.

Left out are sessions, since a restored console signs nobody in, and the workers' heartbeats.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO

from django.apps import apps
from django.db import connection, transaction
from django.db.migrations.exceptions import IrreversibleError
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder

from alignment.method.errors import MoraError

LEFT_OUT = ("django_session", "alignment_worker", "django_migrations")


@contextmanager
def snapshot() -> Iterator[None]:
    """Everything read inside is from one moment."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield


def names() -> list[str]:
    """The tables of a backup, as they are in the database now."""
    known = connection.introspection.django_table_names(only_existing=True, include_views=False)
    return sorted(set(known) - set(LEFT_OUT))


def copy_out(table: str, target: IO[bytes]) -> tuple[list[str], int]:
    """Write a table's rows, oldest first; its columns and the number of rows."""
    with connection.cursor() as cursor:
        found = connection.introspection.get_table_description(cursor, table)
        columns = [column.name for column in found]
        listed = _quoted(columns)
        order = f"ORDER BY {connection.ops.quote_name(columns[0])}"
        statement = f"COPY (SELECT {listed} FROM {connection.ops.quote_name(table)} {order})"
        with cursor.cursor.copy(f"{statement} TO STDOUT") as copy:
            for block in copy:
                target.write(block)
        return columns, cursor.cursor.rowcount


def copy_in(table: str, columns: Sequence[str], source: IO[bytes]) -> None:
    """Put a table's rows back."""
    statement = f"COPY {connection.ops.quote_name(table)} ({_quoted(columns)}) FROM STDIN"
    with connection.cursor() as cursor, cursor.cursor.copy(statement) as copy:
        while block := source.read(1 << 20):
            copy.write(block)


def empty() -> None:
    """Remove every row of what a backup restores, and of what it leaves out."""
    tables = [*names(), "django_session", "alignment_worker"]
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {_quoted(tables)} CASCADE")


def count_on() -> None:
    """Let the tables number new rows after the restored ones.

    A sequence is only ever moved on: the move outlasts a transaction that is rolled back.
    """
    present = set(connection.introspection.table_names())
    with connection.cursor() as cursor:
        for model in apps.get_models(include_auto_created=True):
            table, key = model._meta.db_table, model._meta.auto_field
            if table not in present or key is None:
                continue
            column = str(key.column)
            cursor.execute("SELECT pg_get_serial_sequence(%s, %s)", [table, column])
            (sequence,) = cursor.fetchone()
            largest = f"SELECT coalesce(max({_quoted([column])}), 1) FROM {_quoted([table])}"
            reached = f"SELECT last_value FROM {sequence}"
            cursor.execute(
                f"SELECT setval(%s, greatest(({largest}), ({reached})))",
                [sequence],
            )


def applied() -> list[list[str]]:
    """The migrations that the database has, as [app, name]."""
    return sorted([app, name] for app, name in MigrationRecorder(connection).applied_migrations())


def check_known(wanted: list[list[str]]) -> None:
    """Raises MoraError where a migration is none of this version's."""
    known = MigrationExecutor(connection).loader.graph.nodes
    unknown = [f"{app}.{name}" for app, name in wanted if (app, name) not in known]
    if unknown:
        raise MoraError(
            f"the backup is of a newer console (migration {unknown[0]} is not known here): upgrade"
            " this one first. Nothing was changed."
        )


def go_to(wanted: list[list[str]]) -> None:
    """Migrate the emptied database to just these migrations. Raises MoraError."""
    executor = MigrationExecutor(connection)
    keys = {(app, name) for app, name in wanted}
    targets = [key for key in keys if not _successors(executor, key) & keys]
    missing = {app for app, _ in executor.loader.graph.nodes} - {app for app, _ in keys}
    try:
        executor.migrate([*targets, *((app, None) for app in missing)])
    except IrreversibleError as error:
        raise MoraError(
            "this console's schema cannot go back to the backup's: restore it with the version"
            " that made it, then upgrade"
        ) from error


def _successors(executor: MigrationExecutor, key: tuple[str, str]) -> set[tuple[str, str]]:
    """The migrations of the same app that build on one."""
    children = executor.loader.graph.node_map[key].children
    return {child.key for child in children if child.key[0] == key[0]}


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(connection.ops.quote_name(name) for name in names)
