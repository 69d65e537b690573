"""Tables and databases that lie elsewhere. No credential may be in a URL: it would be recorded with the run."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

from chainrule.errors import UsageError

REMOTE = ("https://", "http://", "s3://", "gs://", "gcs://", "r2://")
POSTGRES = ("postgres://", "postgresql://")
CREDENTIAL = re.compile(  # the names of those that are in the query string of a URL
    r"passw|pwd|token|secret|signature|credential|api.?key|(^|[-_])(pass|sig|key|auth)($|[-_])", re.I
)
FROM_ELSEWHERE = {
    "postgres": "libpq takes the password from the environment variable PGPASSWORD, or from ~/.pgpass",
    "remote": "DuckDB takes credentials from its persistent secrets (CREATE PERSISTENT SECRET)",
}


def is_remote(path: str) -> bool:
    """Whether it names a file that is read over a network.

    >>> is_remote("s3://shop/customers.parquet"), is_remote("customers.parquet")
    (True, False)
    """
    return path.lower().startswith(REMOTE)


def urls_in(sql: str) -> list[str]:
    """The URLs in a query, whatever they are there for."""
    return re.findall(rf"(?:{'|'.join(REMOTE)})[^\s'\"]*", sql, re.I)


def is_postgres(target: str) -> bool:
    """Whether it is the URL of a PostgreSQL database."""
    return target.lower().startswith(POSTGRES)


def check_no_credential(flag: str, target: str) -> None:
    """Refuse a URL, or a connection string, that has a credential in it; the message does not show it.

    Raises
    ------
    UsageError
        For a password or a token in it.
    """
    if has_credential(target):
        how = FROM_ELSEWHERE["remote" if is_remote(target) else "postgres"]
        raise UsageError(f"{flag}: there is a credential in the URL, which a run would record; leave it out: {how}")


def has_credential(target: str) -> bool:
    """Whether there is a user's password, a token or a key in it.

    >>> has_credential("postgres://ann:secret@localhost/shop"), has_credential("postgres://ann@localhost/shop")
    (True, False)
    >>> has_credential("https://host/x.csv?X-Amz-Signature=0"), has_credential("https://host/x.csv?year=2024")
    (True, False)
    """
    _, there, rest = target.partition("://")
    if not there:
        return re.search(r"password\s*=", target, re.I) is not None
    try:
        address, query = urlsplit(target).netloc, parse_qsl(urlsplit(target).query, keep_blank_values=True)
    except ValueError:  # it is no URL: a name in brackets, say
        return "@" in rest
    user = rest.rpartition("@")[0]
    named = "@" in address if is_remote(target) else ":" in user
    return named or any(CREDENTIAL.search(name) for name, _ in query)
