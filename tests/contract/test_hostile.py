"""Harmed and harmful files end in a clear refusal or in an answer: quickly, and in little memory."""

import json
import random
import struct
import time
import tracemalloc
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chainrule.errors import InputError
from chainrule.storage.models import read_model
from chainrule.storage.tensors import read_tensors, write_tensors
from chainrule.tables.prepare import prepare
from chainrule.tables.reading import open_table
from chainrule.tables.run_folder import load_table_model
from tests.contract.hostile import MODEL, good, read_all, try_one, try_run

FILES, RUNS = 400, 60


@pytest.fixture(scope="module")
def of(tmp_path_factory):
    return good(tmp_path_factory.mktemp("good"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tried")


@pytest.mark.filterwarnings("ignore")
def test_files_of_every_kind(of, folder):
    """`python tests/contract/hostile.py SECONDS` is the long form."""
    told = Counter()

    @settings(max_examples=FILES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.randoms(use_true_random=False))
    def try_many(rng):
        _, how = try_one(of, folder, rng.randrange)
        told[how] += 1

    try_many()
    assert told["refused"] > FILES / 4
    assert told["read"] > FILES / 20
    assert not told["refused without a word"]


@pytest.mark.filterwarnings("ignore")
def test_run_folders_opened_by_every_command(of, tmp_path):
    """The long form: `python tests/contract/hostile.py SECONDS commands`."""
    rng, told = random.Random(0), Counter()
    for _ in range(RUNS):
        _, how = try_run(of, tmp_path, rng.randrange)
        told[how] += 1
    assert not [how for how in told if "WRONG" in how]
    assert told["exit code 0"] > RUNS / 10
    assert told["exit code 1"] > RUNS / 10


@pytest.mark.parametrize("name", ["plan.json", "request.json", "metrics.json"])
def test_nested_more_deeply_than_python_goes(of, folder, name):
    path = folder / "run" / name
    path.write_text('{"a":' + "[" * 10**5 + "]" * 10**5 + "}")
    assert read_all(of, name, path) == "refused"


def test_a_model_with_two_columns_of_one_name(of, tmp_path):
    document, tensors = read_tensors(of.run / MODEL)
    first, second, *_ = document["encoding"]["columns"]
    second["name"] = first["name"]
    write_tensors(tmp_path / MODEL, document, tensors, document.pop("format"))
    with pytest.raises(InputError, match="two columns or two classes have the same name"):
        load_table_model(tmp_path / MODEL)


def safetensors(header, body=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


HUGE = 10**12
CLAIMS = {
    "a tensor of 10^12 numbers": safetensors({"x": {"dtype": "F32", "shape": [HUGE], "data_offsets": [0, 4 * HUGE]}}),
    "a tensor of 10^12 empty rows": safetensors({"x": {"dtype": "F32", "shape": [HUGE, 0], "data_offsets": [0, 0]}}),
    "a header of 10^12 bytes": struct.pack("<Q", HUGE) + b"{}",
    "a header beyond 64 bits": b"\xff" * 8 + b"{}",
    "a deep header": struct.pack("<Q", 10**5) + b"[" * 10**5,
}


def refused_cheaply(path):
    tracemalloc.start()
    began = time.monotonic()
    try:
        with pytest.raises(InputError) as told:
            read_model(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 50e6
    assert time.monotonic() - began < 20
    return str(told.value)


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_header_that_claims_too_much(tmp_path, claim):
    path = tmp_path / "model.safetensors"
    path.write_bytes(CLAIMS[claim])
    assert "model.safetensors" in refused_cheaply(path)


@pytest.mark.parametrize("layers", [[HUGE, 1], [2] * 10**5, [2, HUGE, 1], [1] * 2])
def test_a_design_that_claims_too_much(tmp_path, layers):
    path = tmp_path / "model.safetensors"
    names = ["relu"] * (len(layers) - 1)
    design = {
        "layers": layers,
        "activations": names,
        "cost": "squared_error",
        "reduction": "mean",
        "l2": 0,
        "masks": None,
    }
    write_tensors(path, {"network": design, "arrays": []}, {"0.W": np.zeros((2, 1)), "0.b": np.zeros(1)})
    assert "model.safetensors" in refused_cheaply(path)


def prepared(tmp_path, data, target="y"):
    path = tmp_path / "rows.csv"
    path.write_bytes(data)
    made = prepare(open_table([str(path)]), [target])
    assert np.isfinite(made.X).all()
    assert np.isfinite(made.Y).all()
    return made


ROWS = b"".join(b"%d,%d\n" % (i, i % 7) for i in range(60))
TABLES = {
    "a BOM": (b"\xef\xbb\xbfx,y\n" + ROWS, None),
    "line ends of Windows": (b"x,y\n".replace(b"\n", b"\r\n") + ROWS.replace(b"\n", b"\r\n"), None),
    "mixed line ends": (b"x,y\r\n" + ROWS, "where some end in"),
    "old Macs' line ends": (b"x,y\r" + ROWS.replace(b"\n", b"\r"), None),
    "a null byte": (b"x,y\n" + ROWS + b"1\0,2\n", "every value is different"),
    "a null byte in the header": (b"x\0,y\n" + ROWS, "rows.csv"),
    "only null bytes": (bytes(1000), "no such column"),
    "1e999": (b"x,y\n" + ROWS + b"1e999,2\n", "expected a number, got '1e999'"),
    "-1e999 to predict": (b"y,x\n" + ROWS + b"-1e999,2\n", "expected a number, got '-1e999'"),
    "nan and inf": (b"x,y\n" + ROWS + b"nan,2\ninf,3\n-inf,1\n", "got 'inf' (2 such values)"),
    "numbers of 400 digits": (b"x,y\n" + ROWS + b"9" * 400 + b",2\n", "expected a number, got '9999999"),
    "a field too many": (b"x,y\n" + ROWS + b"1,2,3\n", "line 62: expected 2 values as in the header, found 3"),
    "a field too few": (b"x,y\n" + ROWS + b"1\n", "line 62: expected 2 values as in the header, found 1"),
    "an open quote": (b"x,y\n" + ROWS + b'"1,2\n', "a quote is opened and never closed"),
    "UTF-16": (("x,y\n" + ROWS.decode()).encode("utf-16"), "UTF-16"),
    "not UTF-8": (b"x,y\n" + ROWS + b"\xff\xfe,2\n", "not UTF-8"),
    "a name twice": (b"y,y\n" + ROWS, "column names repeat"),
    "no name": (b",y\n" + ROWS, None),
    "names of quotes": (b'"a""b",y\n' + ROWS, None),
    "formulas": (b"x,y\n" + ROWS + b"=1+1,2\n", "every value is different"),
    "one line": (b"x,y", "no rows of data"),
    "nothing but line ends": (b"\n\n\n\n", "rows.csv"),
}


@pytest.mark.parametrize("name", TABLES)
def test_text_that_means_harm(tmp_path, name):
    """An answer, or a clear refusal that names the file."""
    data, why = TABLES[name]
    if why is None:
        assert len(prepared(tmp_path, data).X) >= 60
    else:
        with pytest.raises(InputError) as told:
            prepared(tmp_path, data)
        assert why in str(told.value)
        assert len(str(told.value)) < 300


def test_a_field_of_100_megabytes(tmp_path):
    began = time.monotonic()
    with pytest.raises(InputError, match=r"rows\.csv"):
        prepared(tmp_path, b"x,y\n" + ROWS + b"a" * 100_000_000 + b",2\n")
    assert time.monotonic() - began < 60


def test_a_million_columns(tmp_path):
    names = b",".join(b"c%d" % i for i in range(10**6))
    with pytest.raises(
        InputError, match=r"rows\.csv: its first line, which names the columns, has more than 1,048,576"
    ):
        prepared(tmp_path, names + b"\n" + names + b"\n")


def test_many_columns(tmp_path):
    names = b",".join(b"c%d" % i for i in range(10_001))
    with pytest.raises(InputError, match=r"rows\.csv: 10,001 columns, and 10,000 can be read at most"):
        prepared(tmp_path, names + b"\n" + names + b"\n")


def test_a_few_hundred_columns_are_read_in_groups(tmp_path):
    columns = range(200)
    lines = [",".join(["y", *(f"c{i}" for i in columns)])]
    lines += [",".join([str(j % 3), *(str((i * j * j) % (11 + i)) for i in columns)]) for j in range(1, 60)]
    made = prepared(tmp_path, "\n".join(lines).encode())
    kept = [c.name for c in made.encoding.columns]
    assert made.table.column_names == ["y", *(f"c{i}" for i in columns)]
    assert made.table.column("c199").to_pylist() == [(199 * j * j) % 210 for j in range(1, 60)]
    assert len(kept) > 190


CELLS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ["", "NA", "nan", "inf", "-0", "1e999", "1e-999", "0x10", "1_000", "1,5", "2024-02-30", "24:61", "true"]
    ),
    st.floats().map(str),
    st.integers().map(str),
)


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(st.lists(st.tuples(CELLS, CELLS, st.sampled_from(["a", "b", "1", "2.5"])), min_size=1, max_size=40))
def test_cells_of_any_text(tmp_path_factory, rows):
    """The encoding of whatever can be written into cells: finite numbers, or a clear refusal."""
    import csv
    import io

    text = io.StringIO()
    csv.writer(text).writerows([("x", "z", "y"), *rows])
    try:
        prepared(tmp_path_factory.mktemp("cells"), text.getvalue().encode("utf-8", errors="surrogatepass"))
    except InputError as refused:
        told = str(refused)
    else:
        told = "an answer"
    assert told


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(st.binary(max_size=300))
def test_bytes_of_any_kind(tmp_path_factory, data):
    try:
        prepared(tmp_path_factory.mktemp("bytes"), b"x,y\n" + ROWS + data)
    except InputError as refused:
        told = str(refused)
    else:
        told = "an answer"
    assert told
