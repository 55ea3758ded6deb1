"""Run an evaluation: from a configuration to what was found, with a ledger in its folder."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from neuropt.evaluating.baselines import Archived, read_baselines
from neuropt.evaluating.code_hash import CODE, code_sha256
from neuropt.evaluating.config import ALL, CONFIG, EvaluationConfig
from neuropt.evaluating.contenders import Contender, check_names, find_contender
from neuropt.evaluating.cost import measure_cost
from neuropt.evaluating.evaluation import Evaluation
from neuropt.evaluating.ledger import LEDGER, EvaluationLedger, TaskWorks
from neuropt.evaluating.protocol import Protocol, Say, Study, fresh_seeds, run_protocol
from neuropt.evaluating.row import ordered
from neuropt.evaluating.tracing import Trace, trace_studies
from neuropt.evaluating.written import check_out
from neuropt.optimizers.named_schedules import find_schedule
from neuropt.searching.executor import Engine, Executor, InProcessExecutor
from neuropt.searching.facts import is_begun, now, versions
from neuropt.searching.ledger_file import LedgerError
from neuropt.searching.recorded import RecordedExecutor
from neuropt.searching.rewards import reward_of
from neuropt.searching.run_folder import locked
from neuropt.tasks import get_task, initial_weights, load_task_data, tasks
from neuropt.tasks.hashing import hash_tensors
from neuropt.tasks.task import Task, TaskData
from neuropt.training.choosing import choose_form
from neuropt.training.forms import Form, possible_forms
from neuropt.training.work import Done, Work
from neuropt.writing import whole_file

Loaded = Sequence[tuple[Task, TaskData]]
SAID = 4
"""Changes that are said in full; the code of 15 tasks changes at once."""


def run_evaluation(
    config: EvaluationConfig,
    folder: Path | None = None,
    *,
    resume: bool = False,
    accept_changes: bool = False,
    progress: Say | None = None,
) -> Evaluation:
    """Compare optimizers as a configuration says.

    Args:
        folder: for what is found, with a ledger while it runs; None keeps nothing.
        resume: go on with what the ledger holds.
        accept_changes: although versions, data or first weights have changed.
        progress: told in a line what is done.

    Raises:
        ValueError: an unknown name, a folder in use, an archive that differs; nothing is trained then.
    """
    contenders = [find_contender(text) for text in config.optimizers]
    check_names(contenders)
    _check_schedules(config.schedule)
    known = find_tasks(config)
    for task in known:
        reward_of(config.reward, task)
    loaded = [(task, load_task_data(task, _folder(config))) for task in known]
    used = {s for contender in contenders for s in contender.used_seeds}
    tune, report = fresh_seeds([config.tune_seeds, config.seeds], root=config.seed, taken=used)
    protocol = Protocol(
        *(tune, report, config.reward, config.grid, config.schedule),
        trials=config.trials,
        defaults=True,
        evaluations=config.evaluations,
    )
    protocol.check(contenders)
    facts = evaluation_facts(loaded, protocol)
    archive = _archive(config, known, contenders, protocol, facts)
    _check_reference(config, contenders, archive)
    with ExitStack() as stack:
        ledger = None
        if folder is not None:
            ledger = _ledger(folder, config, loaded, facts, resume, accept_changes, stack)
            facts = _recorded(facts, ledger)
        forms = ledger.forms() if ledger is not None else _forms(config, loaded)
        studies: list[tuple[Task, tuple[Study, ...]]] = []
        traces: list[tuple[Task, tuple[Trace, ...]]] = []
        costs: dict[tuple[str, str], Mapping[str, Any]] = {}
        for task, data in loaded:
            if progress is not None:
                own = {n: v for n, v in _of_task(facts, task).items() if n != CODE}
                progress(f"{task.name}: " + ", ".join(f"{n.removesuffix('_sha256')} {v[:12]}" for n, v in own.items()))
            works = None if ledger is None else TaskWorks(ledger, task.name)
            executor: Executor = Started(lambda task=task, data=data: _executor(config, task, data))  # type: ignore[misc]  # mypy and defaults
            stack.callback(executor.close)
            if works is not None:
                executor = RecordedExecutor(executor, works)
            said = progress if contenders else None  # of nothing there is nothing to say
            found = run_protocol(contenders, task, data, executor, protocol, said, forms.get(task.name))
            traces.append((task, tuple(trace_studies(found, task, data, protocol, works))))
            kept, paid = archive.get(task.name, ([], {}))
            studies.append((task, (*found, *kept)))
            costs |= {(task.name, name): cost for name, cost in paid.items()}
        for task, data in loaded:
            costs |= _costs(contenders, task, data, ledger)
        rows = [row for task, found in studies for row in ordered([study.row(task, protocol) for study in found])]
        everybody = {s.contender.name: s.contender for _, found in studies for s in found}.values()
        rules = {f"rule {c.name}": c.shown_rule for c in everybody if c.shown_rule is not None}
        evaluation = Evaluation(
            rows=tuple(rows),
            studies=tuple(studies),
            protocol=protocol,
            facts=facts | rules,
            config=config,
            costs=costs,
            provenance=_provenance(config, facts, loaded, None if ledger is None else ledger.meta().get("created")),
            traces=tuple(traces),
        )
        if folder is not None:
            evaluation.save(folder)
    return evaluation


def find_tasks(config: EvaluationConfig) -> list[Task]:
    """Return the tasks with their budgets.

    Raises:
        ValueError: an unknown name, or one given twice.
    """
    names = list(config.tasks)
    if names == [ALL]:
        names = [name for name, task in tasks().items() if task.download is None]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"task {name!r} is given twice; every task is used once")
    known = [get_task(name) for name in names]
    return known if config.steps is None else [task.with_budget(config.steps) for task in known]


def evaluation_facts(loaded: Loaded, protocol: Protocol) -> dict[str, str]:
    """Return what numbers depend on besides the configuration: versions, machine, threads, hashes of data, first weights and code."""
    facts = versions()
    for task, data in loaded:
        facts |= {f"{task.name} {what}": sha256 for what, sha256 in _hashes(task, data, protocol).items()}
    return facts


def _of_task(facts: Mapping[str, str], task: Task) -> dict[str, str]:
    """Return the hashes of a task among all facts."""
    start = f"{task.name} "
    return {name.removeprefix(start): value for name, value in facts.items() if name.startswith(start)}


def _hashes(task: Task, data: TaskData, protocol: Protocol) -> dict[str, str]:
    """Return the hashes of data, first weights on the report seeds, code, and the file of a user's own task."""
    weights = hash_tensors(*(initial_weights(task, seed) for seed in protocol.report_seeds))
    found = {"data_sha256": data.sha256, "weights_sha256": weights, CODE: code_sha256(task)}
    own = {} if task.source is None else {"task_sha256": hashlib.sha256(task.source.text.encode()).hexdigest()}
    return found | own


class Started:
    """An executor that is started when there is something to do.

    Args:
        start: makes it.
    """

    def __init__(self, start: Callable[[], Executor]) -> None:
        self.start = start
        self.executor: Executor | None = None

    def search(self, engine: Engine) -> None:
        """Run the engine's trials."""
        self._started().search(engine)

    def map(self, works: Sequence[Work]) -> Iterator[tuple[int, Done]]:
        """Do the works."""
        if works:
            yield from self._started().map(works)

    def _started(self) -> Executor:
        self.executor = self.executor or self.start()
        return self.executor

    def close(self) -> None:
        """Give back what was started."""
        if self.executor is not None:
            self.executor.close()


def _executor(config: EvaluationConfig, task: Task, data: TaskData) -> Executor:
    if config.executor == "in-process":
        return InProcessExecutor(task, data)
    from neuropt.searching.tune_executor import TuneExecutor  # imports ray

    return TuneExecutor(task, _folder(config), config.address, config.workers)


def _ledger(
    folder: Path,
    config: EvaluationConfig,
    loaded: Loaded,
    facts: Mapping[str, str],
    resume: bool,
    accept_changes: bool,
    stack: ExitStack,
) -> EvaluationLedger:
    """Start the ledger of an evaluation, or open it and check that the evaluation can go on here."""
    if not resume:
        check_out(folder)
    stack.enter_context(locked(folder))
    path = folder / LEDGER
    if not is_begun(path):
        with whole_file(folder / CONFIG) as file:
            file.write(config.to_toml().encode())
        meta = {"created": now(), "config": config.to_toml(), "forms": json.dumps(_forms(config, loaded))}
        return stack.enter_context(EvaluationLedger.create(path, meta, facts))
    ledger = stack.enter_context(EvaluationLedger.open(path))
    before = ledger.facts()
    changes = [
        f"{name} was {before[name]}, but here it is {facts[name]}"
        for name in facts
        if name in before and before[name] != facts[name]
    ]
    if changes and not accept_changes:
        more = f"; and {len(changes) - SAID} more" if len(changes) > SAID else ""
        raise LedgerError(
            f"{path}: {'; '.join(changes[:SAID])}{more}. Resume where they are the same, or go on with --accept-changes: "
            "the ledger records which results came after"
        )
    if changes:
        ledger.write_environment(facts)
    return ledger


def _recorded(facts: dict[str, str], ledger: EvaluationLedger) -> dict[str, str]:
    """Return the facts that the ledger has too: where it has none of the code, nobody knows which one its children come from."""
    known = ledger.facts()
    return {name: value for name, value in facts.items() if name in known}


def _forms(config: EvaluationConfig, loaded: Loaded) -> dict[str, Form]:
    """Return the form in which the children of each task that is no MLP are trained; a task that is left out takes them one at a time."""
    found: dict[str, Form] = {}
    for task, data in loaded:
        possible = possible_forms(task, data)
        if config.form == "usual" or "population" in possible:
            continue
        if config.form == "measured":
            found[task.name] = choose_form(task, data, config.trials * config.tune_seeds, task.steps).form
        elif config.form == "batched" and "batched" in possible:
            found[task.name] = "batched"
        elif "rows" in possible:
            found[task.name] = "rows"
    return found


def _costs(
    contenders: Sequence[Contender], task: Task, data: TaskData, ledger: EvaluationLedger | None
) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Return what a step of each contender costs, measured once; one that cannot be made here has none."""
    known = {} if ledger is None else ledger.costs()
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for contender in contenders:
        key = task.name, contender.name
        if key not in known:
            try:
                known[key] = measure_cost(contender, task, data).to_dict()
            except (ValueError, RuntimeError, TypeError):  # its row says why it failed
                continue
            if ledger is not None:
                ledger.write_cost(*key, known[key])
        found[key] = known[key]
    return found


def _archive(
    config: EvaluationConfig,
    known: Sequence[Task],
    contenders: Sequence[Contender],
    protocol: Protocol,
    facts: Mapping[str, str],
) -> dict[str, Archived]:
    """Return archived results by task, those of optimizers that are trained here left out."""
    if config.baselines is None:
        return {}
    names = {contender.name for contender in contenders}
    found = {}
    for task in known:
        studies, costs = read_baselines(Path(config.baselines), task, config, protocol, facts)
        kept = [study for study in studies if study.contender.name not in names]
        found[task.name] = kept, {name: cost for name, cost in costs.items() if name not in names}
    return found


def _provenance(
    config: EvaluationConfig, facts: Mapping[str, str], loaded: Loaded, created: str | None
) -> dict[str, Any]:
    hashes = {task.name: _of_task(facts, task) for task, _ in loaded}
    return {
        "command": f"neuropt evaluate --profile {CONFIG} --out DIR",
        "typed": sys.argv[1:],
        "created": created,
        **versions(),
        "tasks": hashes,
        "config_sha256": hashlib.sha256(config.to_toml().encode()).hexdigest(),
    }


def _folder(config: EvaluationConfig) -> Path | None:
    return None if config.data_dir is None else Path(config.data_dir)


def _check_reference(
    config: EvaluationConfig, contenders: Sequence[Contender], archive: Mapping[str, Archived]
) -> None:
    names = dict.fromkeys(contender.name for contender in contenders)
    names |= dict.fromkeys(study.contender.name for studies, _ in archive.values() for study in studies)
    if config.reference is not None and config.reference not in names:
        raise ValueError(f"reference must be one of {', '.join(names)}, but got {config.reference!r}")


def _check_schedules(names: Sequence[str]) -> None:
    for name in names:
        find_schedule(name)
        if names.count(name) > 1:
            raise ValueError(f"schedule {name!r} is given twice; every schedule is used once")
