"""Tables and databases at URLs. A URL must not contain credentials, because it is recorded in the run."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

from chainrule.errors import UsageError

REMOTE = ("https://", "http://", "s3://", "gs://", "gcs://", "r2://")
POSTGRES = ("postgres://", "postgresql://")
CREDENTIAL = re.compile(  # names of credentials in the query string of a URL
    r"passw|pwd|token|secret|signature|credential|api.?key|(^|[-_])(pass|sig|key|auth)($|[-_])", re.I
)
FROM_ELSEWHERE = {
    "postgres": "libpq reads the password from the environment variable PGPASSWORD or from ~/.pgpass",
    "remote": "DuckDB reads credentials from its persistent secrets (CREATE PERSISTENT SECRET)",
}


def is_remote(path: str) -> bool:
    """Whether a path is the URL of a file.

    >>> is_remote("s3://shop/customers.parquet"), is_remote("customers.parquet")
    (True, False)
    """
    return path.lower().startswith(REMOTE)


def urls_in(sql: str) -> list[str]:
    """The URLs of files that occur anywhere in a query."""
    return re.findall(rf"(?:{'|'.join(REMOTE)})[^\s'\"]*", sql, re.I)


def is_postgres(target: str) -> bool:
    """Whether a database is the URL of a PostgreSQL database."""
    return target.lower().startswith(POSTGRES)


def check_no_credential(flag: str, target: str) -> None:
    """Check that a URL or connection string contains no credential; the error does not show it.

    Parameters
    ----------
    flag : str
        The option, for the error message.
    target : str
        The path, URL or connection string.

    Raises
    ------
    UsageError
        If it contains a password, token or key.
    """
    if has_credential(target):
        how = FROM_ELSEWHERE["remote" if is_remote(target) else "postgres"]
        raise UsageError(
            f"{flag}: the URL contains a credential, which would be recorded in the run; leave it out: {how}"
        )


def has_credential(target: str) -> bool:
    """Whether a URL or connection string contains a password, token or key.

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
    except ValueError:  # not a valid URL, such as one with unmatched brackets
        return "@" in rest
    user = rest.rpartition("@")[0]
    named = "@" in address if is_remote(target) else ":" in user
    return named or any(CREDENTIAL.search(name) for name, _ in query)
