"""Bad input gets a message, an exit code, no traceback, and leaves nothing behind."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from .conftest import PENGUINS, QUICK, Result

GOOD = "x,color,y\n" + "".join(f"{i},{'red' if i % 3 else 'blue'},{'no' if i % 2 else 'yes'}\n" for i in range(40))


def refused(result: Result, *words: str, code: int = 1) -> None:
    assert result.code == code, result
    assert result.err.startswith(("chainrule: ", "Usage:")), result.err
    assert "Traceback" not in result.err + result.out
    for word in words:
        assert word in result.err, f"{word!r} is not in {result.err!r}"


def nothing_written(folder: Path) -> bool:
    return not [p for p in folder.rglob("*") if p.is_file() and p.suffix not in (".csv", ".tsv", ".gz", ".json")]


BAD_TABLES = {
    "empty file": ("", ["table.csv", "the file is empty"]),
    "blank file": ("\n\n", ["table.csv", "the file is empty"]),
    "header only": ("x,y\n", ["no rows of data"]),
    "target is not there": ("x,why\n1,2\n2,3\n", ["--target 'y'", "no such column", "columns: x, why"]),
    "target nearly there": ("x,yy\n1,2\n2,3\n", ["did you mean 'yy'?"]),
    "target with one value": ("x,y\n1,a\n2,a\n3,a\n", ["'y'", "two values or more", "'a'"]),
    "target all missing": ("x,y\n1,\n2,NA\n3,\n", ["target 'y'", "no value"]),
    "all features dropped": ("c,y\n" + 10 * "1,a\n1,b\n", ["no usable input column", "c: constant"]),
    "only the target": ("y\n" + 10 * "a\nb\n", ["no usable input column"]),
    "ragged row, short": (GOOD + "7,red\n", ["line 42", "expected 3 values", "found 2"]),
    "ragged row, long": (GOOD + "7,red,no,8\n", ["line 42", "expected 3 values", "found 4"]),
    "open quote": (GOOD + '7,"red,no\n', ["line 42", "quote"]),
    "wrong encoding": (GOOD.encode() + "7,caf\xe9,no\n".encode("latin-1"), ["line 42", "UTF-8", "iconv"]),
    "wrong encoding in the header": ("caf\xe9,y\n1,a\n".encode("latin-1"), ["line 1", "UTF-8"]),
    "infinite value": (GOOD + "inf,red,no\n", ["column 'x'", "row 41", "'inf'", "infinite"]),
    "duplicate column names": ("x,y,x\n1,a,2\n", ["repeat", "'x', 'x'"]),
    "names alike but for case": ("x,y,X\n1,a,2\n", ["repeat", "'x', 'X'"]),
    "fewer rows than classes": ("x,y\n1,a\n2,b\n3,c\n", ["3 classes in 3 rows"]),
    "target of dates": ("x,y\n1,2020-01-01\n2,2020-01-02\n", ["target 'y'", "got date values"]),
}


@pytest.mark.parametrize(("text", "words"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_a_bad_table_is_refused(chainrule, table, tmp_path, text, words):
    refused(chainrule("train", table(text), "--target", "y", *QUICK), *words)
    assert nothing_written(tmp_path)


def test_a_file_that_is_not_there_is_named_with_the_nearest_one(chainrule, table):
    table(GOOD, "churn.csv")
    refused(chainrule("train", "chrun.csv", "--target", "y"), "chrun.csv: no such file", "did you mean churn.csv?")


@pytest.mark.parametrize("path", [".", "*.parquet", "model.xlsx"])
def test_a_folder_an_empty_glob_and_an_unknown_format_are_refused(chainrule, table, path):
    table("PK", "model.xlsx")
    refused(chainrule("train", path, "--target", "y"), path)


def test_files_with_other_columns_are_refused(chainrule, table):
    table(GOOD, "a.csv")
    table("x,colour,y\n1,red,no\n", "b.csv")
    refused(chainrule("train", "a.csv", "b.csv", "--target", "y"), "b.csv", "'color', 'colour'")


@pytest.mark.parametrize(("target", "words"), [("x", "target 'x'"), ("z", "column 'x'")])
def test_values_too_large_to_scale_are_refused_by_name(chainrule, table, target, words):
    path = table("x,z\n" + "".join(f"{i}.5e306,{i}.5\n" for i in range(1, 99)))
    refused(chainrule("train", path, "-t", target, "--task", "regression", *QUICK), words, "other units")


@pytest.mark.parametrize("name", ["broken.parquet", "broken.jsonl", "broken.csv.gz"])
def test_a_file_that_is_not_of_its_format_is_refused(chainrule, table, name):
    refused(chainrule("train", table("{]" * 100, name), "--target", "y"), name)


def test_a_query_that_fails_says_what_the_database_says(chainrule):
    refused(chainrule("train", "--sql", "select * from nowhere", "--target", "y"), "nowhere", "does not exist")


WRONG_USE = {
    "no target": ([], ["--target is missing"]),
    "unknown flag": (["--target", "y", "--layers", "3"], ["No such option: --layers"]),
    "layer of no nodes": (["--target", "y", "--hidden", "4,0"], ["--hidden: expected 1 or more, got 0"]),
    "negative layer": (["--target", "y", "--hidden", "4,x"], ["--hidden", "layer sizes", "'4,x'"]),
    "learning rate of 0": (["--target", "y", "--learning-rate", "0"], ["--learning-rate", "above 0"]),
    "learning rate below 0": (["--target", "y", "--learning-rate", "-1"], ["--learning-rate", "-1"]),
    "learning rate of NaN": (
        ["--target", "y", "--learning-rate", "nan"],
        ["--learning-rate: expected a finite number, got nan"],
    ),
    "learning rate of text": (["--target", "y", "--learning-rate", "fast"], ["--learning-rate", "valid number"]),
    "unknown activation": (["--target", "y", "--activation", "sigmoyd"], ["did you mean 'sigmoid'?"]),
    "too many activations": (["--target", "y", "--hidden", "4", "--activation", "relu,relu,relu"], ["got 3"]),
    "unknown cost": (["--target", "y", "--cost", "rms"], ["unknown cost 'rms'", "'rmse'"]),
    "unknown rule": (["--target", "y", "--rule", "adamm"], ["no optimiser 'adamm'", "did you mean 'adam'?"]),
    "unknown schedule": (["--target", "y", "--schedule", "slow"], ["--schedule", "inverse_time:RATE"]),
    "unknown initialisation": (["--target", "y", "--initial", "hee"], ["unknown initialization 'hee'"]),
    "unknown reduction": (["--target", "y", "--reduction", "max"], ["'max'"]),
    "unknown dtype": (["--target", "y", "--dtype", "float16"], ["--dtype", "float16"]),
    "no epochs": (["--target", "y", "--epochs", "0"], ["--epochs", "got 0"]),
    "no rows per update": (["--target", "y", "--batch-size", "0"], ["--batch-size: expected 1 or more, got 0"]),
    "test share of 1": (["--target", "y", "--test-size", "1"], ["--test-size", "got 1"]),
    "patience without validation": (
        ["--target", "y", "--patience", "3", "--validation-size", "0"],
        ["--patience", "--validation-size"],
    ),
    "unknown task": (["--target", "y", "--task", "foo"], ["--task", "foo"]),
    "target dropped": (["--target", "y", "--drop", "y"], ["--target", "dropped"]),
    "target named twice": (["--target", "y", "--target", "y"], ["--target", "twice"]),
    "endless schedule": (["--target", "y", "--schedule", "exponential:0.5:inf"], ["--schedule", "above 0"]),
    "negative schedule": (["--target", "y", "--schedule", "step:0.5:-3"], ["--schedule", "above 0"]),
    "patience beyond counting": (
        ["-t", "y", "--patience=99999999999999999999"],
        ["--patience", "2,147,483,647 or less"],
    ),
    "endless patience for time": (["-t", "y", "--max-seconds", "inf"], ["--max-seconds: expected a finite number"]),
    "learning rate beyond float32": (["-t", "y", "--learning-rate", "1e300"], ["--learning-rate", "1e+30 or less"]),
    "penalty below 0": (["-t", "y", "--l2", "-1"], ["--l2: expected 0 or more"]),
    "goal beyond float32": (["-t", "y", "--cost-goal", "1e300"], ["--cost-goal: expected 1e+30 or less"]),
    "everything dropped": (["-t", "y", "--dropout", "1"], ["--dropout: expected a share from 0 to below 1"]),
    "average of nothing": (["-t", "y", "--average", "1"], ["--average: expected a share"]),
    "schedule beyond counting": (
        ["-t", "y", "--schedule", "step:0.5:1e29"],
        ["every: expected at most 2,147,483,647"],
    ),
    "schedule beyond float32": (["-t", "y", "--schedule", "inverse_time:1e300"], ["--schedule", "at most 1e+30"]),
    "more nodes than memory": (
        ["-t", "y", "--hidden", "2147483647,2147483647"],
        ["parameters needs about", "fewer nodes"],
    ),
    "text that is not UTF-8": (["-t", "y", "--reduction", "\udcff"], ["--reduction: expected text in UTF-8"]),
    "negative seed": (["--target", "y", "--seed", "-1"], ["--seed", "-1"]),
}


@pytest.mark.parametrize(("flags", "words"), WRONG_USE.values(), ids=WRONG_USE)
def test_wrong_use_exits_with_2(chainrule, table, tmp_path, flags, words):
    refused(chainrule("train", table(GOOD), *flags), *words, code=2)
    assert nothing_written(tmp_path)


@pytest.mark.parametrize("words", [["400"], ["400", "x"], ["400", "0"], ["4", "\u00b2"], ["4", "9" * 5000]])
def test_a_design_that_cannot_be_is_refused(chainrule, words):
    refused(chainrule("count", *words), code=2)


def test_a_design_that_no_memory_holds_is_not_drawn(chainrule):
    refused(chainrule("check", "9999999", "9999999"), "parameters needs about")


def test_numbers_beyond_all_in_first_parameters_are_refused(chainrule, table, tmp_path):
    first = table('{"W1": [[1e999, 7]], "b1": [0]}', "first.json")
    refused(chainrule("train", table(GOOD), "-t", "y", "--initial", first, "-o", "run"), "--initial", code=2)
    assert not (tmp_path / "run").exists()


def test_names_that_are_not_utf_8_are_refused(chainrule, table, tmp_path):
    name = os.fsdecode(b"\xff")
    refused(chainrule("train", table(GOOD), "-t", "y", "-o", name), "--out", "UTF-8")
    path = table(GOOD, f"{name}.csv")
    refused(chainrule("train", path, "-t", "y"), "--data: expected text in UTF-8", code=2)
    refused(chainrule("train", "*.csv", "-t", "y"), "UTF-8", "rename the file")
    assert nothing_written(tmp_path)
    assert not (tmp_path / "runs").exists()


def test_parameters_of_another_shape_are_refused(chainrule, table):
    first = table(json.dumps({"W1": [[1.0, 2.0]], "b1": [0.0, 0.0], "W2": [[1.0], [1.0]], "b2": [0.0]}), "first.json")
    result = chainrule("train", table(GOOD), "--target", "y", "--hidden", "2", "--initial", first)
    refused(result, "expected W (3, 2)", "got W (1, 2)", code=2)


@pytest.mark.parametrize("out", ["file.txt/run", "/proc/run"])
def test_an_output_that_cannot_be_written_is_refused_before_training(chainrule, table, out):
    table("", "file.txt")
    refused(chainrule("train", table(GOOD), "--target", "y", "-o", out), out, "cannot be written")


def test_a_run_folder_that_holds_something_is_left_alone(chainrule, table, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("years of work")
    refused(chainrule("train", table(GOOD), "--target", "y", "-o", "run"), "run", "already exists")
    assert (tmp_path / "run" / "thesis.txt").read_text() == "years of work"


def test_a_full_disk_leaves_no_part_of_a_file(chainrule, penguins_run, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        result = chainrule("predict", penguins_run, PENGUINS, "-o", "out.csv")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    refused(result, "out.csv: cannot be written", "File too large")
    assert os.listdir(tmp_path) == []


PREDICT_HEADER = "species,island,bill_length_mm,bill_depth_mm,flipper_length_mm,body_mass_g,sex,year\n"
PREDICT_ROW = "Adelie,Biscoe,39.1,18.7,181,3750,male,2007\n"


def test_text_in_a_numeric_column_is_named_with_its_row(chainrule, table, penguins_run):
    path = table(PREDICT_HEADER + 3 * PREDICT_ROW + PREDICT_ROW.replace("181", "long"))
    result = chainrule("predict", penguins_run, path, "-o", "out.csv")
    refused(result, "column 'flipper_length_mm'", "row 4", "expected a number", "'long'")
    assert not Path("out.csv").exists()


def test_text_in_a_numeric_column_prints_no_part_of_the_answer(chainrule, table, penguins_run):
    result = chainrule(
        "predict", penguins_run, table(PREDICT_HEADER + PREDICT_ROW + PREDICT_ROW.replace("181", "long"))
    )
    refused(result, "row 2")
    assert result.out == ""


def test_a_missing_column_is_named_with_the_nearest_one(chainrule, table, penguins_run):
    path = table((PREDICT_HEADER + PREDICT_ROW).replace("body_mass_g", "body_mas_g"))
    refused(chainrule("predict", penguins_run, path), "'body_mass_g'", "did you mean 'body_mas_g'?")


def test_columns_may_be_extra_and_in_any_order(chainrule, table, penguins_run):
    straight = chainrule("predict", penguins_run, table(PREDICT_HEADER + PREDICT_ROW, "a.csv"))
    names, values = PREDICT_HEADER.strip().split(","), PREDICT_ROW.strip().split(",")
    turned = ",".join([*names[::-1], "note"]) + "\n" + ",".join([*values[::-1], '"of, course"']) + "\n"
    other = chainrule("predict", penguins_run, table(turned, "b.csv"))
    assert straight.code == other.code == 0
    assert straight.out.splitlines()[1].split(",")[-4:] == other.out.splitlines()[1].split(",")[-4:]
    assert '"of, course"' in other.out


@pytest.mark.parametrize("text", ["", PREDICT_HEADER])
def test_nothing_to_predict_is_refused(chainrule, table, penguins_run, text):
    refused(chainrule("predict", penguins_run, table(text)), "table.csv")


@pytest.mark.parametrize("other_name", [str, lambda path: f"./{path.name}"])
def test_the_input_is_never_overwritten(chainrule, table, penguins_run, other_name):
    path = table(PREDICT_HEADER + PREDICT_ROW)
    refused(chainrule("predict", penguins_run, path, "-o", other_name(path)), "is an input file")
    assert path.read_text() == PREDICT_HEADER + PREDICT_ROW


def test_a_prediction_column_that_is_taken_is_refused(chainrule, table, penguins_run):
    path = table(PREDICT_HEADER.strip() + ",prediction\n" + PREDICT_ROW.strip() + ",me\n")
    refused(chainrule("predict", penguins_run, path), "already has a column 'prediction'")


def test_a_test_file_with_an_unseen_label_is_refused_before_training(chainrule, table, tmp_path):
    test = table("x,color,y\n1,red,maybe\n", "test.csv")
    refused(chainrule("train", table(GOOD), "-t", "y", "--test-file", test, "-o", "run"), "'maybe'")
    assert not (tmp_path / "run").exists()


def test_columns_may_have_the_names_that_we_would_choose(chainrule, table):
    text = "input 0,chainrule x,chainrule_row,x,y\n" + "".join(
        f"{i % 5},{i % 3},a,{i % 7},{i % 2}\n" for i in range(60)
    )
    assert chainrule("train", table(text), "-t", "y", "-o", "run", *QUICK).code == 0
    assert chainrule("predict", "run", "table.csv").code == 0
    bad = table(text.replace("0,0,a,0,0", "zz,0,a,0,0", 1), "bad.csv")
    refused(chainrule("predict", "run", bad), "column 'input 0', row 1", "'zz'")


def test_a_full_standard_output_is_one_line_of_error(penguins_run):
    command = [sys.executable, "-m", "chainrule", "predict", str(penguins_run), str(PENGUINS)]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_label_that_training_never_saw_is_named(chainrule, table, penguins_run):
    path = table(PREDICT_HEADER + PREDICT_ROW + PREDICT_ROW.replace("Adelie", "Emperor"))
    refused(chainrule("evaluate", penguins_run, path), "'species'", "'Emperor'", "'Adelie', 'Chinstrap', 'Gentoo'")


def altered(model: Path, to: Path, change) -> Path:
    data = bytearray(model.read_bytes())
    to.write_bytes(change(data))
    return to


def flipped(data: bytearray, at: int) -> bytearray:
    data[at] ^= 1
    return data


BAD_MODELS = {
    "no such run": (None, "no such run folder"),
    "an empty file": (lambda data: b"", "not a complete safetensors file"),
    "truncated": (lambda data: data[: len(data) // 2], "not a complete safetensors file"),
    "truncated by a byte": (lambda data: data[:-1], "not a complete safetensors file"),
    "a weight flipped by a bit": (lambda data: flipped(data, len(data) - 3), "damaged or altered"),
    "a class renamed": (lambda data: data.replace(b"Adelie", b"Adelia"), "damaged or altered"),
    "text": (lambda data: b"weights: 1, 2, 3", "not a complete safetensors file"),
}


@pytest.mark.parametrize(("change", "words"), BAD_MODELS.values(), ids=BAD_MODELS)
def test_a_model_that_is_not_whole_is_refused(chainrule, penguins_run, tmp_path, change, words):
    path = tmp_path / "model.safetensors"
    if change:
        altered(penguins_run / "model.safetensors", path, change)
    refused(chainrule("predict", path, PENGUINS), str(path), words)


def test_a_foreign_safetensors_file_is_refused(chainrule, tmp_path):
    save_file({"weight": np.ones(3)}, tmp_path / "foreign.safetensors")
    refused(chainrule("predict", "foreign.safetensors", PENGUINS), "not a Chainrule model")


def test_tensors_swapped_under_the_same_document_are_refused(chainrule, penguins_run, tmp_path):
    from safetensors import safe_open

    with safe_open(penguins_run / "model.safetensors", "numpy") as file:
        metadata = file.metadata()
    tensors = {name: 2 * tensor for name, tensor in load_file(penguins_run / "model.safetensors").items()}
    save_file(tensors, tmp_path / "swapped.safetensors", metadata)
    refused(chainrule("predict", "swapped.safetensors", PENGUINS), "damaged or altered")


def test_a_folder_without_a_model_is_refused(chainrule, tmp_path):
    refused(chainrule("predict", tmp_path, PENGUINS), "not a run folder")


def test_a_diverging_run_keeps_the_last_good_parameters_and_says_so(chainrule, table):
    flags = [
        "--rule",
        "gradient_descent",
        "--learning-rate",
        "1e30",
        "--cost",
        "squared_error",
        "--activation",
        "identity",
    ]
    result = chainrule("train", table(GOOD), "-t", "x", "-o", "run", *QUICK, *flags)
    refused(result, "NaN or infinite in epoch", "smaller learning rate", "run")
    assert chainrule("predict", "run", "table.csv").code == 0


@pytest.mark.parametrize("tail", ["", "5,0\n" * 200])
@pytest.mark.parametrize("megabytes", [17, 34, 100])
def test_a_line_too_long_to_read_is_refused_wherever_it_is(chainrule, table, megabytes, tail):
    """DuckDB passes over some of them without a word."""
    rows = "".join(f"{i},{i % 2}\n" for i in range(60))
    path = table("x,y\n" + rows + "a" * (megabytes * 2**20) + ",1\n" + tail)
    result = chainrule("train", path, "-t", "y", "--dry-run")
    assert result.code == 1
    assert "table.csv" in result.err
    assert len(result.err) < 400
