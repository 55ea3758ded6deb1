"""Where a rule comes from: the tasks and the seeds that searches saw before it was found, which are no evidence for it.

RUN:1                  the search's, and those of the runs whose rules or rewards it began with
found.json, found.py   those that the export says
rule text              nothing is known: whoever types a found rule hides its origin
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from neuropt.config import SearchConfig
from neuropt.exporting import Provenance
from neuropt.finding import NamedRule, find_rule
from neuropt.searching.engine import CHILD_SEEDS
from neuropt.searching.run_folder import run_config
from neuropt.searching.source import searched_on
from neuropt.searching.warm_start import begun_from

Origin = tuple[frozenset[str], tuple[int, ...]]
"""Tasks, as the user typed them, and seeds."""


def origin(rule: NamedRule) -> Origin:
    """Return what the searches behind a rule saw."""
    if rule.run is not None:
        return _of_run(rule.run)
    return (frozenset(), ()) if rule.provenance is None else _of_export(rule.provenance)


def _of_run(run: Path, known: Collection[Path] = ()) -> Origin:
    """Return what a run saw, and what those saw that it began with.

    One that is gone stays as its name, of which nobody knows the family, so that nothing is called better.
    """
    config = run_config(run)
    task, seeds = searched_on(config)
    found, taken = {task}, set(seeds)
    for name, earlier in begun_from(config):
        if earlier is not None and earlier.resolve() in known:
            continue
        try:
            rule = find_rule(name) if earlier is None else None
            if rule is not None and rule.run is None:
                tasks, others = origin(rule)
            else:
                folder = earlier if rule is None else rule.run
                tasks, others = _of_run(folder, {*known, run.resolve()})  # type: ignore[arg-type]  # one of both is there
        except (ValueError, OSError):
            tasks, others = frozenset({name}), ()
        found |= tasks
        taken |= set(others)
    return frozenset(found), tuple(sorted(taken))


def _of_export(provenance: Provenance) -> Origin:
    if provenance.task is None:
        return frozenset(), ()
    seed = provenance.seed or 0
    try:
        task, seeds = searched_on(SearchConfig(task=provenance.task, seed=seed, child_seeds=1))
    except ValueError:  # a table that is not here
        return frozenset({provenance.task}), ()
    first = (seed % CHILD_SEEDS) * CHILD_SEEDS
    # an export does not say how many seeds its search had, so all that it may have had are left out
    return frozenset({task}), tuple(sorted({*seeds, *range(first, first + CHILD_SEEDS)}))
