"""The subcommands: dataclasses whose fields are flags, whose docstrings are help texts, and which do one thing when called."""

from neuropt.commands.checking import Check
from neuropt.commands.command import Command
from neuropt.commands.comparing import CompareControllers
from neuropt.commands.listings import Controllers, Schedules, Spaces, Tasks
from neuropt.commands.meta_training import MetaTrain
from neuropt.commands.optimizers import Optimizers
from neuropt.commands.reporting import Report
from neuropt.commands.rules import Export, Show, Top
from neuropt.commands.studies import Evaluate, Search
from neuropt.commands.tables import TableCommand
from neuropt.commands.watching import Status

COMMANDS: dict[str, type[Command]] = {
    "search": Search,
    "status": Status,
    "top": Top,
    "show": Show,
    "export": Export,
    "check": Check,
    "evaluate": Evaluate,
    "report": Report,
    "table": TableCommand,
    "meta-train": MetaTrain,
    "compare-controllers": CompareControllers,
    "spaces": Spaces,
    "controllers": Controllers,
    "tasks": Tasks,
    "optimizers": Optimizers,
    "schedules": Schedules,
}

__all__ = ["COMMANDS", "Command"]
