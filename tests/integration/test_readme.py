"""What the README and the pages of docs/ show is what happens: Python, commands, files, links."""

import doctest
import re
import shlex
import sys
from pathlib import Path

import pytest

from chainrule import cli

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "chainrule"
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SESSION = re.search(r"## A session\n+```console\n(.*?)```", README, re.S)


def python_of(page: Path) -> str:
    return "\n".join(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S))


def commands_of(page: Path) -> set[str]:
    """The commands that a page shows, in a code block or between backticks."""
    return set(re.findall(r"(?:^|`|\$ |srun -n 8 )chainrule ([a-z]+)\b", page.read_text(encoding="utf-8"), re.M))


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_the_readme_is_short():
    assert len(README.splitlines()) < 200


@pytest.mark.parametrize("page", [page for page in PAGES if ">>>" in python_of(page)], ids=named)
def test_python_runs_as_shown(page):
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    blocks = python_of(page)
    test = doctest.DocTestParser().get_doctest(blocks, {}, page.name, None, 0)
    runner = doctest.DocTestRunner(optionflags=flags)
    runner.run(test)
    assert runner.tries == blocks.count(">>>")
    assert runner.failures == 0


def test_the_pages_with_python_are_found():
    tested = {page.name for page in PAGES if ">>>" in python_of(page)}
    assert tested == {"README.md", "core.md", "estimators.md", "explaining.md", "streaming.md", "tables.md"}


def steps() -> list[tuple[str, list[str]]]:
    """The session as (command, lines printed)."""
    assert SESSION is not None
    parts = re.split(r"^\$ ", SESSION.group(1), flags=re.M)[1:]
    return [(part.splitlines()[0], part.splitlines()[1:]) for part in parts]


# Lines with numbers in which another processor's rounding may show; all other lines are compared to the letter.
ENDED = re.compile(
    r"trained for (?P<epochs>\d+) epochs \((?P<seconds>\d+\.\d) s\): .*; kept parameters of epoch (?P<kept>\d+) .*"
)
SCORE = re.compile(r"(?:(?:balanced )?accuracy|roc auc|log loss) +(?P<score>\d\.\d{3}) +\d\.\d{3}")
CONFUSED = re.compile(r"(?:Adelie|Chinstrap|Gentoo) +(?P<a>\d+) +(?P<b>\d+) +(?P<c>\d+)")
PREDICTED = re.compile(r".*,(?P<a>[\d.e-]+),(?P<b>[\d.e-]+),(?P<c>[\d.e-]+)")
FREE = {"epochs": {"rel": 0.5}, "kept": {"rel": 0.5}, "seconds": {"abs": 3600}, "score": {"abs": 0.02}}


def same(line: str, shown: str) -> bool:
    """Whether a line is the one shown: to the letter, but for seconds and what rounding may change a little."""
    for pattern in (ENDED, SCORE, CONFUSED, PREDICTED):
        ours, theirs = pattern.fullmatch(line), pattern.fullmatch(shown)
        if ours and theirs:
            least = {"abs": 1 if pattern is CONFUSED else 0.01}
            numbers = ((name, float(ours[name]), float(theirs[name])) for name in pattern.groupindex)
            near = all(a == pytest.approx(b, **FREE.get(name, least)) for name, a, b in numbers)
            return near and _blanked(ours) == _blanked(theirs)
    return line == shown


def _blanked(match: re.Match[str]) -> str:
    """The words around the groups of a match."""
    text = match.string
    for name in reversed(match.re.groupindex):
        text = text[: match.start(name)] + "#" + text[match.end(name) :]
    return re.sub(r" +#", " #", text)  # a number is aligned to the right


def test_the_session_of_the_readme_prints_what_it_shows(tmp_path, monkeypatch, capsys):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    assert [command.split()[1] for command, _ in steps()] == ["train", "predict"]
    for command, shown in steps():
        words, *piped = command.split("|")
        monkeypatch.setattr(sys, "argv", shlex.split(words))
        assert sys.argv[0] == "chainrule"
        try:
            cli.main()
        except SystemExit as ended:
            if ended.code:
                raise
        out, err = capsys.readouterr()
        assert not err
        printed, shown = out.splitlines(), "\n".join(shown).rstrip("\n").splitlines()
        if piped:
            assert piped == [f" head -n {len(shown)}"]
            printed = printed[: len(shown)]
        assert len(printed) == len(shown), command
        for line, expected in zip(printed, shown, strict=True):
            assert same(line, expected), f"{command}\nprinted {line!r}\nshown   {expected!r}"


@pytest.mark.parametrize(
    ("line", "shown", "is_same"),
    [
        ("  inputs   7 columns as 15 inputs", "  inputs   7 columns as 15 inputs", True),
        ("  inputs   7 columns as 16 inputs", "  inputs   7 columns as 15 inputs", False),
        (
            "trained for 61 epochs (9.9 s): x; kept parameters of epoch 41 (y)",
            "trained for 64 epochs (0.5 s): x; kept parameters of epoch 44 (y)",
            True,
        ),
        (
            "trained for 9 epochs (0.5 s): x; kept parameters of epoch 4 (y)",
            "trained for 64 epochs (0.5 s): x; kept parameters of epoch 44 (y)",
            False,
        ),
        (
            "trained for 64 epochs (0.5 s): z; kept parameters of epoch 44 (y)",
            "trained for 64 epochs (0.5 s): x; kept parameters of epoch 44 (y)",
            False,
        ),
        ("accuracy             0.986          0.435", "accuracy             1.000          0.435", True),
        ("accuracy             0.900          0.435", "accuracy             1.000          0.435", False),
        ("accuracy             1.000          0.436", "accuracy             1.000          0.435", False),
        ("Adelie                28          2       0", "Adelie                30          0       0", False),
        ("1,male,Adelie,0.999,4.4e-07,1e-3", "1,male,Adelie,0.9999993,4.4775604e-07,1.9324271e-07", True),
        ("2,male,Adelie,0.999,4.4e-07,1e-3", "1,male,Adelie,0.9999993,4.4775604e-07,1.9324271e-07", False),
    ],
)
def test_what_counts_as_the_same_line(line, shown, is_same):
    assert same(line, shown) is is_same


def test_the_tree_names_every_folder_and_file_and_no_other():
    tree = re.search(r"```\nsrc/chainrule/\n(.*?)^\w", README, re.S | re.M)
    assert tree is not None
    names = re.findall(r"^  (\S+) {2,}\S", tree.group(1), re.M)
    files = {path.name for path in SOURCE.glob("*.py")}
    folders = {f"{path.name}/" for path in SOURCE.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert len(names) == len(set(names))
    assert set(names) == files | folders


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_and_picture_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_page_is_reached_from_the_readme():
    linked, unread = set(), [ROOT / "README.md"]
    while unread:
        page = unread.pop()
        linked.add(page)
        targets = re.findall(r"\]\(([^)#\s]+\.md)[^)]*\)", page.read_text(encoding="utf-8"))
        there = {(page.parent / target).resolve() for target in targets if "://" not in target}
        unread += there - linked - set(unread)
    assert {page for page in PAGES if page.parent.name != "adr"} <= linked


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_that_is_shown_exists(page):
    assert commands_of(page) <= {
        command.callback.__name__ for command in cli.app.registered_commands if command.callback
    }


def test_the_page_of_commands_has_them_all():
    assert commands_of(ROOT / "docs" / "commands.md") == set(cli.COMMANDS)


def test_every_file_that_the_architecture_names_is_there():
    """Paths between backticks, such as `tables/reading.py`, of the package or of the repository."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    paths = set(re.findall(r"`([\w./-]+\.(?:py|html|js|css|toml|json|md))`", text))
    assert len(paths) > 20
    assert [path for path in sorted(paths) if not ((SOURCE / path).exists() or (ROOT / path).exists())] == []


def test_the_architecture_draws_the_layers_of_the_contract():
    import tomllib

    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    drawing = re.search(r"```\n(.*?)```", (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"), re.S)
    assert drawing is not None
    places = [drawing.group(1).index(f" {name} ") for layer in contract["layers"] for name in layer.split(" | ")]
    assert places == sorted(places)
