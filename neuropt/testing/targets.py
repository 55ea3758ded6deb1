"""Which optimizer a text means, as `neuropt check` takes it.

torch.optim:Adam        a class or function of a module
mine/optim.py:Mine      a class or function of a file, such as an export
adabound                a name of the catalogue
sign(g), powersign.txt  a rule, in all ways of `find_rule`

A module or file is imported, which runs it: name only what you would run.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from torch.optim import Optimizer

from neuropt.compiling.create import create_optimizer
from neuropt.finding import find_rule
from neuropt.optimizers.catalogue import named_optimizers

PLANNED_STEPS = 100
"""T, for optimizers that decay over the planned steps."""
_IN_A_MODULE = re.compile(r"(?P<where>.+):(?P<name>[^\W\d]\w*)")


def find_factory(target: str, hyper: Sequence[str] = ()) -> Callable[..., Optimizer]:
    """Return the factory that a text names, with hyperparameters of it given as NAME=VALUE.

    Raises:
        ValueError: for a target that cannot be found or imported, or a hyperparameter that is not NAME=VALUE.

    Example:
        >>> find_factory("torch.optim:SGD").__name__
        'SGD'
    """
    given = dict(_hyperparameter(text) for text in hyper)
    if match := _IN_A_MODULE.fullmatch(target):
        factory = _attribute(_imported(match["where"]), match["where"], match["name"])
        given = _planned(factory) | given
        return partial(factory, **given) if given else factory
    if target.endswith(".py"):
        raise ValueError(f"{target} is a Python file: name its class too, as in {target}:{_example(target)}")
    if target in named_optimizers():
        planned = named_optimizers()[target].arguments(1.0, PLANNED_STEPS)
        return partial(create_optimizer, target, **{k: v for k, v in planned.items() if k != "lr"} | given)
    rule = find_rule(target).rule
    return partial(create_optimizer, rule, **({"decay_steps": PLANNED_STEPS} if rule.reads("T") else {}) | given)


def _planned(factory: Callable[..., Optimizer]) -> dict[str, Any]:
    """Return decay_steps where a class or function asks for the planned steps and does not say how many."""
    asked = inspect.signature(factory).parameters.get("decay_steps")
    unsaid = asked is not None and asked.default in (None, inspect.Parameter.empty)
    return {"decay_steps": PLANNED_STEPS} if unsaid else {}


def _hyperparameter(text: str) -> tuple[str, Any]:
    """Read NAME=VALUE; a value is a whole number, a number, true, false, numbers with commas between them, or else a word."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise ValueError(f"a hyperparameter is given as NAME=VALUE, such as lr=0.1, but got {text!r}")
    if "," in value:
        return name, tuple(_value(part.strip()) for part in value.strip("()").split(",") if part.strip())
    return name, _value(value)


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False, "none": None}.get(text.lower(), text)


def _imported(where: str) -> ModuleType:
    try:
        return _file(Path(where)) if where.endswith(".py") else _module(where)
    except (Exception, SystemExit) as error:
        said = " ".join(str(error).split()) or "no message"
        raise ValueError(f"{where} cannot be imported: {type(error).__name__}: {said:.300}") from error


def _module(name: str) -> ModuleType:
    here = str(Path.cwd())  # as `python -m` has it, and a console script has not
    if here not in sys.path:
        sys.path.insert(0, here)
    return importlib.import_module(name)


def _file(path: Path) -> ModuleType:
    if not path.is_file():
        raise FileNotFoundError("there is no such file")
    name = f"neuropt_checked_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and pickle look for it
    spec.loader.exec_module(module)
    return module


def _attribute(module: ModuleType, where: str, name: str) -> Callable[..., Optimizer]:
    found = getattr(module, name, None)
    if callable(found):
        return cast(Callable[..., Optimizer], found)
    others = sorted(
        key
        for key, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Optimizer) and value is not Optimizer
    )
    has = f"it has {', '.join(others)}" if others else "it has no optimizer"
    raise ValueError(f"{where} has no class or function {name!r}; {has}")


def _example(target: str) -> str:
    text = Path(target).read_text(encoding="utf-8", errors="replace") if Path(target).is_file() else ""
    classes = re.findall(r"^class (\w+)\(", text, re.MULTILINE)
    return classes[0] if classes else "CLASS"
