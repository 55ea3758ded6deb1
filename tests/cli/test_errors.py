from __future__ import annotations

from pathlib import Path

import pytest

from neuropt.commands.parsing import one_line
from neuropt.exporting import TARGETS
from tests.cli.running import run_here

WRONG = [
    # arguments, what the one line must say
    ([], "a command is missing: one of search, status"),
    (["sarch"], "unknown arguments: sarch; there are search, status"),
    (["show"], "missing: RULE"),
    (["show", "g", "w"], "unknown arguments: w"),
    (["show", "g", "--jsn"], "unknown argument --jsn; did you mean --json?"),
    (["show", "--jsn", "g"], "unknown argument --jsn; did you mean --json?"),
    (["show", "-g"], "unknown argument -g; a rule that begins with a minus stands after --"),
    (["show", "powersing"], "no rule is called 'powersing'; did you mean powersign"),
    (["show", "h"], "no rule is called 'h'; `neuropt optimizers` lists all names"),
    (["show", ""], "an update rule was expected"),
    (["show", "g.__class__"], "'.' (U+002E) is not part of the rule language"),
    (["show", "__import__('os')"], "is not part of the rule language"),
    (["show", "(" * 100_000], "at most 50000 characters"),
    (["show", "(" * 1_000], "nested deeper than 100"),
    (["show", "\udcff"], "is not part of the rule language"),
    (["show", "9" * 30_000], "a number must be finite and at most 40 characters"),
    (["show", "none.txt"], "there is no file 'none.txt'"),
    (["show", "folder/none"], "there is no file 'folder/none'"),
    (["show", "none:1"], "'none' is no run"),
    (["top"], "missing: RUN"),
    (["top", "none"], "'none' is no run"),
    (["top", "none", "-n", "0"], "-n must be a whole number of at least 1, but got 0"),
    (["top", "none", "-n", "many"], "must be a whole number, but got 'many'"),
    (["top", "none", "-n"], "needs a value"),
    (["export", "adam"], f"missing: --to {{{','.join(TARGETS)},hub}} and -o FILE"),
    (["export", "adam", "--to", "fortran", "-o", "x"], "--to must be one of"),
    (["export", "adam", "--to", "json", "-o", "none/x"], "none/x: No such file or directory"),
    (
        ["evaluate", "adam", "--tasks", "digits-mlp", "--schedule", "cosin"],
        "unknown schedule 'cosin'; choose one of constant",
    ),
    (["search", "--rules", "0"], "rules must be a whole number of at least 1, but got 0"),
    (["search", "--rules", "many"], "--rules must be a whole number, but got 'many'"),
    (["search", "--task"], "--task needs a value"),
    (["search", "--rulez", "3"], "unknown argument --rulez; did you mean --rules?"),
    (["search", "--executor", "magic"], "--executor must be one of 'tune', 'in-process', but got 'magic'"),
    (["search", "--seed", "-1"], "seed must be a whole number from 0 to 2^31 - 1, but got -1"),
    (["search", "--resume"], "--resume needs the folder of the run: --run DIR"),
    (["search", "--resume", "--run", "x", "--rules", "9"], "leave out --rules"),
    (["search", "--resume", "--run", "none"], "none holds no run to resume"),
    (["search", "--task", "none", "--run", "x"], "unknown task 'none'; choose one of digits-mlp"),
    (["search", "--space", "none", "--run", "x"], "no search space 'none': there are arxiv2017"),
    (["search", "--controller", "none", "--run", "x"], "Unknown controller 'none': must be one of bello2017"),
    (
        ["search", "--space", "tiny", "--warm-start", "sgd,adam", "--run", "x"],
        "cannot say 'adam'; of the zoo it can say sgd",
    ),
    (["search", "--warm-start", "none", "--run", "x"], "no rule is called 'none'"),
    (["search", "--data-dir", "none", "--run", "x"], "--data-dir must be an existing directory"),
    (["evaluate", "--tasks", "digits-mlp"], "missing"),
    (["evaluate", "adam"], "missing: --tasks"),
    (["evaluate", "adma", "--tasks", "digits-mlp"], "did you mean adam"),
    (["evaluate", "adam", "--tasks", "none"], "unknown task 'none'; choose one of digits-mlp"),
    (["evaluate", "adam", "--tasks", "digits-mlp", "--seeds", "0"], "seeds"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG, ids=lambda value: str(value)[:60])
def test_a_wrong_argument_is_refused_in_one_clear_line(
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = run_here(capsys, *arguments)
    first, *rest = ended.err.splitlines()
    command = arguments[0] if arguments and arguments[0] != "sarch" else ""
    assert ended.code == 2
    assert ended.out == ""
    assert first.startswith(f"{f'neuropt {command}'.strip()}: error: ")
    assert said in first
    # a rule's fault is shown under the line, with a caret
    assert not rest or (len(rest) == 2 and rest[1].strip() == "^")
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


@pytest.mark.parametrize(
    ("out", "said"), [("taken", "taken exists; choose another name"), (".", ". is a folder; name a file in it")]
)
def test_a_file_that_exists_is_not_overwritten(
    out: str, said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("taken").write_text("mine", encoding="utf-8")
    ended = run_here(capsys, "export", "adam", "--to", "json", "-o", out)
    assert ended.code == 2
    assert said in ended.err
    assert Path("taken").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe\x00", "is not a text file"),
        (b"name = 3\nu = h", "'h' is not defined above equation 'u'"),
        (b'{"format": "other"}', '"format" must be "neuropt-rule"'),
        (b"{", "Expecting property name"),
        (b"", "an update rule was expected"),
        (b"g" * 300_000, "at most 200000 bytes"),
    ],
)
def test_a_file_that_is_no_rule_is_named(
    content: bytes, said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.txt").write_bytes(content)
    ended = run_here(capsys, "show", "bad.txt")
    assert ended.code == 2
    assert ended.err.startswith("neuropt show: error: bad.txt")
    assert said in ended.err


def test_a_folder_and_a_device_are_no_rules(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("here").mkdir()
    assert "here is a folder" in run_here(capsys, "show", "here").err
    assert "/dev/zero is a device" in run_here(capsys, "show", "/dev/zero").err


@pytest.mark.parametrize(
    ("flag", "text", "said"),
    [
        ("--space", "groups = ", "is not TOML"),
        ("--space", 'name = "n"', "is missing"),
        ("--controller", "[", "not valid TOML"),
        ("--controller", 'description = "d"\nalgorithm = "magic"', "algorithm is 'magic'"),
    ],
)
def test_a_bad_toml_file_is_named_with_its_fault(
    flag: str, text: str, said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.toml").write_text(text, encoding="utf-8")
    ended = run_here(capsys, "search", flag, "bad.toml", "--run", "x", "--executor", "in-process")
    assert ended.code == 2
    assert ended.err.startswith("neuropt search: error: bad.toml")
    assert said in ended.err
    assert not Path("x").exists()


def test_colours_of_a_terminal_leave_the_line_plain() -> None:
    box = "\x1b[31m╭─ Error ─╮\x1b[0m\n\x1b[31m│\x1b[0m \x1b[1mUnrecognized\x1b[0m options: --jsn \x1b[31m│\x1b[0m\n\x1b[31m╰───╯\x1b[0m"
    assert one_line(box) == "unknown arguments: --jsn"
