"""The hash of the code that children come from sees what a program does, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from neuropt.evaluating.code_hash import PARTS, ROOT, code_sha256
from neuropt.tasks import get_task

DIGITS = get_task("digits-mlp")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("checkout")
    for part in PARTS:
        (root / part).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / part).is_file():
            shutil.copy(ROOT / part, root / part)
        else:
            shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__", "*.npz"))
    return root


def changed(checkout: Path, file: str, old: str, new: str, task: str = "digits-mlp") -> bool:
    """Whether a change is seen; it is taken back."""
    before = code_sha256(get_task(task), checkout)
    text = (checkout / file).read_text()
    assert old in text
    (checkout / file).write_text(text.replace(old, new, 1))
    after = code_sha256(get_task(task), checkout)
    (checkout / file).write_text(text)
    return after != before


def test_two_copies_are_the_same_code(checkout: Path) -> None:
    assert code_sha256(DIGITS, checkout) == code_sha256(DIGITS)
    assert len(code_sha256(DIGITS)) == 64


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("neuropt/training/children.py", "RECENT_STEPS = 10", "RECENT_STEPS = 11"),
        ("neuropt/optimizers/lion.py", "float] = (0.9,", "float] = (0.8,"),
        ("neuropt/compiling/rule_optimizer.py", "import torch", "import torch, math"),
        ("neuropt/tasks/digits.py", '"relu"', '"tanh"'),
        ("neuropt/evaluating/tuning.py", "EXTENSIONS = 2", "EXTENSIONS = 3"),
        ("search_space/zoo.toml", "0.9", "0.8"),
    ],
)
def test_another_program_is_seen(checkout: Path, file: str, old: str, new: str) -> None:
    assert changed(checkout, file, old, new)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("neuropt/training/children.py", "RECENT_STEPS = 10", "RECENT_STEPS = (\n    10  # steps\n)"),
        ("neuropt/training/children.py", '"""Learning rates of a rule', '"""The learning rates of a rule'),
        ("neuropt/training/children.py", '"""Children: what', '"""A child: what'),
        ("search_space/zoo.toml", "\n", "\n# a remark\n"),
    ],
)
def test_remarks_and_layout_are_not(checkout: Path, file: str, old: str, new: str) -> None:
    assert not changed(checkout, file, old, new)


def test_another_task_may_change_or_come(checkout: Path) -> None:
    assert not changed(checkout, "neuropt/tasks/mnist.py", "steps=100", "steps=101")
    assert changed(checkout, "neuropt/tasks/mnist.py", "steps=100", "steps=101", "mnist-mlp")
    assert not changed(checkout, "neuropt/tasks/registry.py", "MNIST_MLP,", "")
    # the data of this one come from another module than its model
    assert not changed(checkout, "neuropt/tasks/wideresnet.py", "steps=700", "steps=701")
    assert changed(checkout, "neuropt/tasks/wideresnet.py", "steps=700", "steps=701", "cifar10-wideresnet")


def test_what_a_task_imports_from_another_ones_module_is_its_own(checkout: Path) -> None:
    assert changed(
        checkout, "neuropt/tasks/characters.py", "import torch", "import torch, math", "shakespeare-transformer"
    )
    assert not changed(checkout, "neuropt/tasks/characters.py", "import torch", "import torch, math")


def test_a_new_file_is_seen(checkout: Path) -> None:
    before = code_sha256(DIGITS, checkout)
    (checkout / "neuropt/training/more.py").write_text("")
    assert code_sha256(DIGITS, checkout) != before
    (checkout / "neuropt/training/more.py").unlink()


def test_a_folder_that_is_no_checkout_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no checkout of neuropt"):
        code_sha256(DIGITS, tmp_path)
