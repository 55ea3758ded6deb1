"""Search for the update rules of neural networks, and use the ones that win as torch optimizers.

>>> import neuropt
>>> rule = neuropt.parse_rule("g * exp(sign(g) * sign(m))")
>>> neuropt.same_rule(rule, neuropt.zoo()["powersign"])
True

Importing this package imports neither torch nor ray: a public name is fetched from its module when it is first read.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from neuropt.shadowing import check_not_shadowed

check_not_shadowed()

if TYPE_CHECKING:
    from controllers import Controller, Known, Outcome, Proposal, TokenSpace, create_controller
    from neuropt import optimizers, testing
    from neuropt.comparing.compare import compare_controllers
    from neuropt.compiling.create import create_optimizer
    from neuropt.compiling.rule_optimizer import RuleOptimizer
    from neuropt.config import SearchConfig
    from neuropt.evaluating.evaluate import evaluate
    from neuropt.exporting import Provenance, export_hub, export_rule, from_export, write_export
    from neuropt.finding import find_rule
    from neuropt.reporting.report import write_report
    from neuropt.searching.search import run_search
    from neuropt.tables.table import Table
    from neuropt.tables.table_file import TableError, load_table
    from neuropt.tasks import MLP, DataError, Split, Task, TaskData, get_task, register_task
    from neuropt.training.meta_training import meta_train
    from search_space import Rule, RuleError, SearchSpace, load_space, parse_rule, same_rule, simplify, to_latex, zoo

__version__ = "0.1.0"

__all__ = [
    "MLP",
    "Controller",
    "DataError",
    "Known",
    "Outcome",
    "Proposal",
    "Provenance",
    "Rule",
    "RuleError",
    "RuleOptimizer",
    "SearchConfig",
    "SearchSpace",
    "Split",
    "Table",
    "TableError",
    "Task",
    "TaskData",
    "TokenSpace",
    "__version__",
    "compare_controllers",
    "create_controller",
    "create_optimizer",
    "evaluate",
    "export_hub",
    "export_rule",
    "find_rule",
    "from_export",
    "get_task",
    "load_space",
    "load_table",
    "meta_train",
    "optimizers",
    "parse_rule",
    "register_task",
    "run_search",
    "same_rule",
    "simplify",
    "testing",
    "to_latex",
    "write_export",
    "write_report",
    "zoo",
]

_HOMES = {
    "controllers": ("Controller", "Known", "Outcome", "Proposal", "TokenSpace", "create_controller"),
    "neuropt": ("optimizers", "testing"),
    "neuropt.comparing.compare": ("compare_controllers",),
    "neuropt.compiling.create": ("create_optimizer",),
    "neuropt.compiling.rule_optimizer": ("RuleOptimizer",),
    "neuropt.config": ("SearchConfig",),
    "neuropt.evaluating.evaluate": ("evaluate",),
    "neuropt.exporting": ("Provenance", "export_hub", "export_rule", "from_export", "write_export"),
    "neuropt.finding": ("find_rule",),
    "neuropt.reporting.report": ("write_report",),
    "neuropt.searching.search": ("run_search",),
    "neuropt.tables.table": ("Table",),
    "neuropt.tables.table_file": ("TableError", "load_table"),
    "neuropt.tasks": ("MLP", "DataError", "Split", "Task", "TaskData", "get_task", "register_task"),
    "neuropt.training.meta_training": ("meta_train",),
    "search_space": (
        "Rule",
        "RuleError",
        "SearchSpace",
        "load_space",
        "parse_rule",
        "same_rule",
        "simplify",
        "to_latex",
        "zoo",
    ),
}
"""Where each public name lives; the imports above say the same to type checkers, and a test compares the two."""

if not TYPE_CHECKING:  # a type checker should report a name that does not exist

    def __getattr__(name: str) -> object:
        for module, names in _HOMES.items():
            if name in names:
                is_part = module == __name__
                value = import_module(f"{module}.{name}") if is_part else getattr(import_module(module), name)
                globals()[name] = value
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(globals().keys() | set(__all__))
