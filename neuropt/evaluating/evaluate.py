"""`evaluate`: optimizers on tasks, from names to numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from neuropt.config import EvaluationGrid, Reward
from neuropt.config import Executor as ExecutorName
from neuropt.evaluating.baselines import archive_fields
from neuropt.evaluating.config import CONFIG, EvaluationConfig, make_config, moved, read_config, read_profile
from neuropt.evaluating.contenders import one_line
from neuropt.evaluating.evaluation import Evaluation
from neuropt.evaluating.protocol import Say
from neuropt.evaluating.running import run_evaluation
from search_space import Rule


def evaluate(
    optimizers: Sequence[str | Rule] = (),
    tasks: Sequence[str] = (),
    *,
    profile: str | None = None,
    seeds: int | None = None,
    tune_seeds: int | None = None,
    trials: int | None = None,
    grid: EvaluationGrid | None = None,
    reward: Reward | None = None,
    schedule: str | Sequence[str] | None = None,
    reference: str | None = None,
    evaluations: int | None = None,
    consecutive: int | None = None,
    steps: int | None = None,
    seed: int | None = None,
    form: str | None = None,
    out: Path | str | None = None,
    resume: bool = False,
    accept_changes: bool = False,
    baselines: Path | str | None = None,
    data_dir: Path | str | None = None,
    executor: ExecutorName | None = None,
    address: str | None = None,
    workers: int | None = None,
    progress: Say | None = None,
) -> Evaluation:
    """Compare optimizers on tasks: each tuned with one budget of trials, then trained on fresh seeds at its best trial.

    What is None comes from the profile, or else is the default of `neuropt.evaluating.config.EvaluationConfig`.

    Args:
        optimizers: names of the catalogue or the zoo, `adamw(beta2=0.95|0.999)`, `graft(sgd, adam)`, `RUN:k`, rule text, or rules.
        tasks: names; "all" for every task that needs no download.
        profile: quick, full, grafting, or a TOML file.
        seeds: fresh seeds that results are reported on.
        tune_seeds: seeds that trials are chosen on.
        trials: of each optimizer under each schedule on each task.
        grid: learning rates, {1, 3} x 10^k around each optimizer's own centre, or the grids of a search: scaled, paper.
        reward: the validation metric that chooses and orders: accuracy, or the loss; None for each task's own.
        schedule: of the learning rate, one name or several of `neuropt.optimizers.named_schedules`; every optimizer is tuned and
            reported under each.
        reference: that others are compared with; None for adamw, or else the first baseline.
        evaluations, consecutive: points of a learning curve, and how many in a row must reach a task's target.
        steps: training steps; None leaves each task's own budget.
        seed: root of all seeds.
        form: how children of tasks that are no MLP are trained.
        out: folder for what is found, with a ledger while it runs; one that holds an evaluation is refused.
        resume: go on with the evaluation in that folder; nothing that is finished is trained again.
        accept_changes: resume although versions, data or first weights have changed.
        baselines: folder of archived results of other optimizers, which are compared without training them.
        data_dir: where data sets are; else NEUROPT_DATA, else downloads.
        executor: this process, or Ray.
        address, workers: of Ray; see `SearchConfig`.
        progress: told in a line what is done.

    Raises:
        ValueError: an unknown name, a name given twice, a number out of range, a folder in use; nothing is trained then.
    """
    whereabouts = {"executor": executor, "workers": workers, "address": address, "data_dir": _text(data_dir)}
    given: dict[str, Any] = {
        **{"seeds": seeds, "tune_seeds": tune_seeds, "trials": trials, "grid": grid, "reward": reward},
        **{"reference": reference, "evaluations": evaluations, "consecutive": consecutive, "steps": steps},
        **{"seed": seed, "form": form, "baselines": _text(baselines)},
        "optimizers": _optimizers(optimizers),
        "tasks": _listed(tasks, "tasks"),
        "schedule": None if schedule is None else _listed(schedule, "schedule", least=1),
    }
    folder = None if out is None else Path(out)
    if resume:
        config = _resumed(folder, given | {"profile": profile}, whereabouts)
    elif accept_changes:
        raise ValueError("accept_changes is for an evaluation that goes on: it needs resume")
    else:
        config = _resolved(given | whereabouts, profile)
    return run_evaluation(config, folder, resume=resume, accept_changes=accept_changes, progress=progress)


def _resolved(given: dict[str, Any], profile: str | None) -> EvaluationConfig:
    """Return what is asked for: what is given goes before the profile, and that before what an archive fixes."""
    archive = {} if given["baselines"] is None else archive_fields(Path(given["baselines"]))
    values = archive | (read_profile(profile) if profile is not None else {})
    return make_config(values | {name: value for name, value in given.items() if value is not None and value != ()})


def _resumed(folder: Path | None, given: dict[str, Any], whereabouts: dict[str, Any]) -> EvaluationConfig:
    """Return the configuration of an evaluation that goes on; only where it is trained may change."""
    if folder is None:
        raise ValueError("resume needs the folder of the evaluation: --out DIR")
    changed = [name for name, value in given.items() if value is not None and value != ()]
    if changed:
        raise ValueError(f"resume goes on with the configuration in {folder}; leave out {', '.join(changed)}")
    return moved(read_config(folder / CONFIG), whereabouts)


def _optimizers(values: Sequence[str | Rule]) -> tuple[str, ...]:
    return tuple(one_line(v) if isinstance(v, Rule) else v for v in _listed(values, "optimizers", Rule))


def _listed(values: Any, name: str, *single: type, least: int = 0) -> tuple[Any, ...]:
    """Return the values as a tuple; one alone counts as one of them."""
    alone = isinstance(values, (str, *single))
    if not alone and not isinstance(values, Iterable):
        raise TypeError(f"evaluate({name}=...) must be a name or several, but got {values!r}")
    listed: tuple[Any, ...] = (values,) if alone else tuple(values)
    if len(listed) < least:
        raise ValueError(f"evaluate({name}=...) must name at least one, but got none")
    return listed


def _text(path: Path | str | None) -> str | None:
    return None if path is None else str(path)
