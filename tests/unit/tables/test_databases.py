"""A database is attached to be read, and a query of it reads nothing else and changes nothing."""

import hashlib
import os
import subprocess
import sys

import duckdb
import pytest

import chainrule as cr
from chainrule.errors import InputError, UsageError
from chainrule.tables.reading import count_rows, extensions, open_table, share_read
from chainrule.tables.reading.databases import attach_statement
from chainrule.tables.reading.once import forget, read_once
from chainrule.tables.recorded import TableFile, files_of
from chainrule.tables.request import Request, resumed

EVERY = "SELECT * FROM customers"
HOLD = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "reading")
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A database in the current folder, with a file beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.csv").write_text("secret\n1\n")
    with duckdb.connect("shop.duckdb") as connection:
        connection.execute("CREATE TABLE customers AS SELECT range AS x, range % 2 AS y FROM range(100)")
        connection.execute("CREATE SCHEMA archive; CREATE TABLE archive.orders AS SELECT 1 AS z")
        connection.execute("CREATE VIEW few AS SELECT * FROM customers WHERE x < 10")
        connection.execute("CREATE VIEW outside AS SELECT * FROM read_text('other.csv')")
    return tmp_path / "shop.duckdb"


def open_shop(sql=EVERY, database="shop.duckdb"):
    return open_table([], sql, database=database)


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        (EVERY, 100),
        ("FROM few", 10),
        ("FROM archive.orders", 1),
        ("FROM main.customers", 100),
        ("WITH c AS (FROM customers) SELECT * FROM c JOIN archive.orders ON c.x = z", 1),
    ],
)
def test_its_tables_are_read_and_it_stays_as_it_is(shop, sql, rows):
    before, there = shop.read_bytes(), sorted(os.listdir())
    source = read_once(open_shop(sql))
    assert source.copied
    assert count_rows(source) == rows
    forget(source)
    assert share_read(source) is None
    duckdb.connect("shop.duckdb").close()  # as nobody could who found it open
    assert shop.read_bytes() == before
    assert sorted(os.listdir()) == there


@pytest.mark.parametrize(
    "sql",
    [
        "COPY customers TO 'new.csv'",
        "COPY customers TO 'shop.duckdb'",
        "ATTACH 'new.duckdb'",
        "ATTACH 'shop.duckdb' AS again",
        "CREATE TABLE new AS SELECT 1",
        "INSERT INTO customers VALUES (1, 1)",
        "SELECT * FROM 'other.csv'",
        "SELECT * FROM read_csv('other.csv')",
        "SELECT * FROM glob('*')",
        "SELECT * FROM outside",
        "SELECT * FROM enable_logging('QueryLog', storage = 'file', storage_path = 'new')",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
    ],
)
def test_nothing_else_is_read_and_nothing_is_written(shop, sql):
    before = shop.read_bytes(), sorted(os.listdir())
    source = open_shop()
    with pytest.raises(duckdb.Error):
        source.connection.execute(sql).fetchall()
    with pytest.raises(InputError):
        open_shop(sql)
    assert (shop.read_bytes(), sorted(os.listdir())) == before


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("FROM custmers", "no table 'custmers'; did you mean 'customers'"),
        ("FROM orders", r"no table 'orders'; did you mean 'archive.orders'"),
        ("FROM nowhere.orders", r"no table 'nowhere.orders'; did you mean 'archive.orders'"),
        ("FROM zzz", r"no table 'zzz' \(tables: customers, few, outside, archive.orders\)"),
        ("FROM read_csv('other.csv')", "a query can only read the tables of the database"),
        ("SELECT w FROM customers", '--sql: Binder Error: Referenced column "w" not found'),
    ],
)
def test_what_is_not_in_it_is_named_with_what_is(shop, sql, said):
    with pytest.raises(InputError, match=said):
        open_shop(sql)


@pytest.mark.parametrize("files", [(), ("other.csv",)])
def test_a_query_is_needed_and_the_tables_are_listed(shop, files):
    with pytest.raises(UsageError, match=r'such as --sql "select \* from customers" \(tables: customers, few'):
        open_table(files, None, database="shop.duckdb")
    with pytest.raises(UsageError, match=r'such as --sql "select \* from customers"$'):
        open_table(files, None, database="nowhere.duckdb")


def encrypted(path):
    with duckdb.connect() as connection:
        connection.execute("SET force_mbedtls_unsafe = 'true'")
        connection.execute(f"ATTACH '{path}' AS e (ENCRYPTION_KEY 'key'); CREATE TABLE e.t AS SELECT 1 AS x")


def with_a_macro(path):
    with duckdb.connect(path) as connection:
        connection.execute("CREATE MACRO count(x) AS 42")


def cut_off(path):
    code = (
        "import duckdb, os, sys; connection = duckdb.connect(sys.argv[1]);"
        "connection.execute('CREATE TABLE t (x INT)');"
        "connection.execute('CHECKPOINT'); connection.execute('INSERT INTO t VALUES (1)'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, path], check=True)


NOT_READ = {
    "one that is not there": (lambda path: None, "no such file"),
    "a near name": (lambda path: duckdb.connect(f"{path[:-1]}").close(), r"no such file; did you mean odd\.duckd\?"),
    "a folder": (os.mkdir, "is a folder; expected a DuckDB or SQLite file"),
    "an empty file": (lambda path: open(path, "w").close(), "the file is empty"),
    "a file of rows": (lambda path: os.link("other.csv", path), "is not a database; expected a DuckDB or SQLite file"),
    "an encrypted one": (encrypted, "is encrypted; export the table"),
    "a macro instead of a function": (with_a_macro, "defines a macro with the name of a DuckDB function, 'count'"),
    "changes beside it": (cut_off, r"contains changes that are still in odd\.duckdb\.wal; write them"),
}


@pytest.mark.parametrize(("make", "said"), NOT_READ.values(), ids=NOT_READ)
def test_what_cannot_be_opened_is_said_clearly(shop, make, said):
    make("odd.duckdb")
    with pytest.raises(InputError, match=rf"^odd\.duckdb: {said}"):
        open_shop("SELECT * FROM t", "odd.duckdb")


@pytest.mark.parametrize("doing", ["reading", "writing"])
def test_one_that_another_process_has_open(shop, doing):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, shop, doing], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        if doing == "reading":
            assert count_rows(open_shop()) == 100
        else:
            with pytest.raises(InputError, match=rf"shop\.duckdb: process {other.pid} has it open for writing"):
                open_shop()
        other.communicate()


def test_one_that_this_process_is_writing_to(shop):
    with duckdb.connect("shop.duckdb"), pytest.raises(InputError, match="this process has it open for writing"):
        open_shop()


def test_nobody_can_write_to_it_after_its_digest_was_taken(shop):
    """A lock is the process's, and goes as soon as the process closes the file anywhere."""
    digest = hashlib.blake2b(shop.read_bytes(), digest_size=16).hexdigest()
    source = open_shop()
    assert files_of(source) == (TableFile(str(shop), shop.stat().st_size, digest),)
    write = [sys.executable, "-c", "import duckdb; duckdb.connect('shop.duckdb')"]
    assert b"Could not set lock" in subprocess.run(write, capture_output=True).stderr
    source.connection.close()
    del source
    assert subprocess.run(write, capture_output=True).returncode == 0


@pytest.mark.parametrize(
    ("target", "extension", "statement"),
    [
        ("/data/it's.duckdb", None, "ATTACH '/data/it''s.duckdb' AS \"database\" (TYPE duckdb, READ_ONLY)"),
        ("/data/shop.db", "sqlite", "ATTACH '/data/shop.db' AS \"database\" (TYPE sqlite, READ_ONLY)"),
        (
            "postgresql://ann@host:5432/shop",
            "postgres",
            "ATTACH 'postgresql://ann@host:5432/shop' AS \"database\" (TYPE postgres, READ_ONLY)",
        ),
        (
            "https://host/shop.duckdb",
            "httpfs",
            "ATTACH 'https://host/shop.duckdb' AS \"database\" (TYPE duckdb, READ_ONLY)",
        ),
    ],
)
def test_how_each_kind_is_attached(target, extension, statement):
    assert attach_statement(target, extension) == statement


@pytest.fixture
def no_extensions(monkeypatch, tmp_path):
    """A machine on which no extension is installed: DuckDB looks for them under the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("target", "extension"),
    [
        ("shop.db", "sqlite"),
        ("postgres://ann@localhost/shop", "postgres"),
        ("postgresql://localhost/shop?passfile=here", "postgres"),
        ("https://localhost/shop.duckdb", "httpfs"),
        ("s3://bucket/shop.duckdb", "httpfs"),
    ],
)
def test_an_extension_that_is_not_installed_is_named_and_how_it_is(shop, no_extensions, target, extension):
    (shop.parent / "shop.db").write_bytes(b"SQLite format 3\0" + bytes(4096))
    with pytest.raises(InputError) as raised:
        open_shop(EVERY, target)
    assert f"{target}: requires the DuckDB extension {extension}, which is not installed" in str(raised.value)
    assert f"python -c \"import duckdb; duckdb.execute('INSTALL {extension}')\"" in str(raised.value)
    assert not list(shop.parent.rglob("*.duckdb_extension*"))


def test_where_it_is_installed_it_is_loaded_before_the_connection_is_locked(shop, monkeypatch):
    """The attach statement of another kind of database, with the file of a DuckDB one in its place."""
    loaded = []
    monkeypatch.setattr("chainrule.tables.reading.databases.load", lambda _, name, what: loaded.append((name, what)))
    monkeypatch.setattr(
        "chainrule.tables.reading.databases.attach_statement", lambda *_: attach_statement("shop.duckdb")
    )
    source = open_shop(EVERY, "postgresql://localhost/shop")
    assert loaded == [("postgres", "postgresql://localhost/shop")]
    assert count_rows(source) == 100
    assert files_of(source) == ()
    with pytest.raises(duckdb.Error):
        source.connection.execute("ATTACH 'new.duckdb'")


def test_an_extension_that_cannot_be_loaded(shop, monkeypatch):
    class Broken:
        def execute(self, sql):
            raise duckdb.IOException(f"{sql}: built for another version")

    with pytest.raises(InputError, match="x: the DuckDB extension sqlite cannot be loaded: LOAD sqlite: built for"):
        extensions.load(Broken(), "sqlite", "x")  # pyright: ignore


CREDENTIALS = [
    "postgres://ann:s3cret@localhost/shop",
    "postgresql://ann:s3/cret@localhost/shop",
    "postgresql://localhost/shop?user=ann&password=s3cret",
    "postgresql://localhost/shop?sslpassword=s3cret",
    "postgresql://[s3cret@localhost/shop",
    "host=localhost password = s3cret",
    "mysql://ann:s3cret@localhost/shop",
    "https://s3cret@localhost/shop.duckdb",
    "https://localhost/shop.duckdb?X-Amz-Signature=s3cret",
    "s3://bucket/shop.duckdb?s3_secret_access_key=s3cret",
]


@pytest.mark.parametrize("target", CREDENTIALS)
def test_a_credential_is_refused_and_never_shown(shop, target):
    for ask in (
        lambda: open_shop(EVERY, target),
        lambda: open_table([], None, database=target),
        lambda: Request(database=target, sql=EVERY, target=("y",)),
        lambda: resumed(Request(), {"database": target, "sql": EVERY}),
        lambda: cr.fit_table(sql=EVERY, database=target, target="y"),
    ):
        with pytest.raises(
            UsageError, match="the URL contains a credential, which would be recorded in the run"
        ) as raised:
            ask()
        assert "s3cret" not in str(raised.value)


def test_files_or_a_query_that_a_run_goes_on_with_take_the_place_of_its_database():
    began = Request(sql="FROM a", database="shop.duckdb")
    assert resumed(began, {"data": ("t.csv",)}) == Request(data=("t.csv",))
    assert resumed(began, {"sql": "FROM 't.csv'"}) == Request(sql="FROM 't.csv'")
    assert resumed(began, {"sql": "FROM b", "database": "other.duckdb"}) == Request(
        sql="FROM b", database="other.duckdb"
    )
