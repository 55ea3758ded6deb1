from __future__ import annotations

import ast
from pathlib import Path

import pytest

import neuropt
from tests.cli.running import run_apart


def test_every_public_name_is_there() -> None:
    for name in neuropt.__all__:
        assert getattr(neuropt, name) is not None
        assert name in dir(neuropt)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'neuropt' has no attribute 'nothing'"):
        _ = neuropt.nothing  # type: ignore[attr-defined]  # on purpose


def test_type_checkers_are_told_the_same_as_python() -> None:
    """The imports under TYPE_CHECKING, the table of homes and `__all__` are three lists of one thing."""
    tree = ast.parse(Path(neuropt.__file__).read_text(encoding="utf-8"))
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {
        (str(node.module), alias.name)
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == {(module, name) for module, names in neuropt._HOMES.items() for name in names}
    assert {name for _, name in typed} | {"__version__"} == set(neuropt.__all__)


LIGHT = [
    ("import neuropt", ("torch", "ray", "numpy", "tyro")),
    ("from neuropt.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass", ("torch", "ray", "numpy")),
    ("from neuropt.cli import main; main(['show', 'adam'])", ("torch", "ray")),
    ("from neuropt.cli import main; main(['show', 'g', '--json'])", ("torch", "ray")),
    ("from neuropt.cli import main; main(['export', 'adam', '--to', 'torch', '-o', '-'])", ("torch", "ray")),
    ("from neuropt.cli import main; main(['spaces'])", ("torch", "ray", "sympy")),
    ("from neuropt.cli import main; main(['controllers'])", ("ray", "sympy", "sklearn")),
    ("from neuropt.cli import main; main(['tasks'])", ("ray", "sympy", "sklearn")),
    ("from neuropt.cli import main; main(['optimizers'])", ("ray", "sympy", "sklearn")),
    ("import neuropt; neuropt.create_optimizer", ("ray", "sympy", "sklearn")),
]


@pytest.mark.parametrize(("code", "heavy"), LIGHT, ids=[code[-40:] for code, _ in LIGHT])
def test_what_does_not_need_a_heavy_library_does_not_import_it(
    code: str, heavy: tuple[str, ...], tmp_path: Path
) -> None:
    ended = run_apart("-c", f"{code}\nimport sys; print(sorted(set({heavy}) & sys.modules.keys()))", cwd=tmp_path)
    assert ended.out.splitlines()[-1] == "[]", ended


@pytest.mark.parametrize("arguments", [["-c", "import neuropt"], ["-m", "neuropt", "--help"]], ids=["import", "help"])
def test_it_is_there_at_once(arguments: list[str], tmp_path: Path) -> None:
    # processor time, since tests may share their machine
    measured = "import resource as r, subprocess, sys; subprocess.run([sys.executable, *sys.argv[1:]], check=True); "
    measured += "used = r.getrusage(r.RUSAGE_CHILDREN); print(used.ru_utime + used.ru_stime)"
    seconds = [float(run_apart("-c", measured, *arguments, cwd=tmp_path).out.splitlines()[-1]) for _ in range(3)]
    assert min(seconds) < 0.5
