"""Tables that lie elsewhere: how they are read, and what is said where DuckDB's extension httpfs is not installed."""

import gzip

import duckdb
import pytest

from chainrule.errors import InputError, UsageError
from chainrule.tables.reading import fetch, open_table, quoted
from chainrule.tables.reading.once import read_once
from chainrule.tables.reading.remote import load_httpfs_if_there, scan_of_urls
from chainrule.tables.reading.urls import has_credential, urls_in
from chainrule.tables.recorded import Named, Recorded, files_of, table_again, write_recorded
from chainrule.tables.request import Request

INSTALL = "python -c \"import duckdb; duckdb.execute('INSTALL httpfs')\""
CREDENTIALS = [
    "https://s3cret@localhost/x.csv",
    "https://ann:s3cret@localhost/x.csv",
    "https://localhost/x.csv?X-Amz-Credential=a&X-Amz-Signature=s3cret",
    "https://localhost/x.csv?sig=s3cret",
    "https://localhost/x.csv?api_key=s3cret",
    "https://localhost/x.csv?access_token=s3cret",
    "s3://bucket/x.parquet?s3_secret_access_key=s3cret",
]


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch, tmp_path):
    """A machine without extensions: DuckDB looks for them under the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("url", ["https://host/x.csv", "http://host/x.parquet", "s3://b/x.jsonl", "gs://b/x.csv.gz"])
def test_the_extension_is_named_and_how_it_is_installed(url, tmp_path):
    with pytest.raises(InputError) as raised:
        open_table([url])
    assert str(raised.value) == (
        f"{url}: requires the DuckDB extension httpfs, which is not installed; install it once: {INSTALL}"
    )
    with pytest.raises(InputError, match=r"^--sql: requires the DuckDB extension httpfs"):
        open_table([], f"SELECT * FROM '{url}'")
    assert not list(tmp_path.rglob("*.duckdb_extension*"))


def test_a_query_with_a_url_that_it_does_not_read_needs_nothing():
    assert len(fetch(open_table([], "SELECT 'https://host/x?year=1' AS x"), [("x", "x")])) == 1


@pytest.mark.parametrize("url", CREDENTIALS)
def test_a_credential_is_refused_and_not_shown(url):
    for files, sql in (([url], None), ([], f"SELECT * FROM read_parquet('{url}')")):
        with pytest.raises(
            UsageError, match="the URL contains a credential, which would be recorded in the run"
        ) as raised:
            open_table(files, sql)
        assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://host/x.csv?year=2024&design=a&author=b",
        "https://host/@x.csv",
        "s3://b/a:b.csv",
        "a@b.csv",
        "postgres://h1:1,h2:2/d",
    ],
)
def test_what_is_no_credential(url):
    assert not has_credential(url)


def test_urls_in_a_query():
    assert urls_in("SELECT * FROM 'S3://b/x.csv' JOIN read_csv(\"https://h/y.csv\") USING (ftp)") == [
        "S3://b/x.csv",
        "https://h/y.csv",
    ]
    assert urls_in("SELECT * FROM 'x.csv' -- http:/") == []


@pytest.mark.parametrize(
    ("files", "why"),
    [
        (["https://host/x.csv", "y.csv"], "y.csv: expected a URL like the other files"),
        (["s3://bucket/*.parquet"], "expected the URL of a single file; to read several, use --sql"),
    ],
)
def test_what_cannot_be_read_together(files, why):
    with pytest.raises(UsageError, match=why):
        open_table(files)


def test_a_test_file_is_on_this_machine():
    with pytest.raises(UsageError, match="--test-file: expected a local file"):
        Request(test_file="https://host/x.csv")


TEXTS = {
    "x.csv": b'x,"a, b",y\n1,2,\n3,4,"5\n6"\n',
    "bom.csv": b"\xef\xbb\xbfx,y\r\n1,2\r\n",
    "x.tsv": b"x\ty z\n1\t2\n",
    "two-lines.csv": b'"x\ny",z\n1,2\n',
    "x.csv.gz": gzip.compress(b"x;y\n1;2\n"),
    "x.jsonl": b'{"x": 1, "y": "a"}\n{"x": 2, "y": "b"}\n',
}


@pytest.mark.parametrize("name", [*TEXTS, "x.parquet"])
def test_a_file_elsewhere_is_read_as_one_that_is_here(tmp_path, name):
    """What DuckDB does with a URL, done with a path."""
    if name == "x.parquet":
        duckdb.execute("COPY (SELECT 1 AS x, 'a' AS y) TO 'x.parquet'")
    else:
        (tmp_path / name).write_bytes(TEXTS[name])
    local = open_table([name])
    with duckdb.connect() as connection:
        remote = local._replace(connection=connection, sql=scan_of_urls(connection, [name]))
        columns = [(column, quoted(column)) for column in local.types]
        assert fetch(remote, columns) == fetch(local, columns)


def test_files_elsewhere_have_the_same_columns(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text("x,z\n1,2\n")
    (tmp_path / "empty.csv").write_text("")
    with duckdb.connect() as connection:
        with pytest.raises(InputError, match=r"b\.csv: its columns or delimiter differ from those of a\.csv"):
            scan_of_urls(connection, ["a.csv", "b.csv"])
        with pytest.raises(InputError, match=r"empty\.csv: the file is empty"):
            scan_of_urls(connection, ["empty.csv"])
        with pytest.raises(InputError, match=r"none\.csv: cannot be read: IO Error"):
            scan_of_urls(connection, ["none.csv"])


def test_where_the_extension_is_installed_the_connection_reads_those_urls_alone(tmp_path, monkeypatch):
    """The extension as if it were loaded, and a file of this machine in the place of the URL's."""
    (tmp_path / "x.csv").write_text("x\n1\n")
    url = str(tmp_path / "x.csv")
    monkeypatch.setattr("chainrule.tables.reading.is_remote", lambda _: True)
    monkeypatch.setattr("chainrule.tables.reading.remote.is_remote", lambda _: True)
    loaded = []
    monkeypatch.setattr("chainrule.tables.reading.remote.load", lambda _, *what: loaded.append(what))
    source = read_once(open_table([url]))
    assert loaded == [("httpfs", url)]
    assert source.copied
    assert source.name == url
    assert files_of(source) == ()
    for sql in ("FROM read_text('/etc/hostname')", "COPY (SELECT 1) TO 'new.csv'", "ATTACH 'new.duckdb'"):
        with pytest.raises(duckdb.Error):
            source.connection.execute(sql)


def test_a_query_goes_on_without_the_extension():
    with duckdb.connect() as connection:
        load_httpfs_if_there(connection)


def test_a_run_of_a_url_is_read_again_only_where_it_is_named(tmp_path):
    request = Request(data=("http://127.0.0.1:9/x.csv",))
    write_recorded(tmp_path, Recorded(request, (), (), False, False, ".", (), "", "", {}))
    with pytest.raises(InputError, match=r"was trained on http://127\.0\.0\.1:9/x\.csv, which is read again only if"):
        table_again(tmp_path, Named(trust=True))
