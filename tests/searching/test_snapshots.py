"""Going on from a snapshot of the controller is going on from the ledger, only faster."""

from __future__ import annotations

import random
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from controllers.ppo import PPO
from neuropt.config import SearchConfig
from neuropt.searching import snapshots
from neuropt.searching.engine import SearchEngine
from neuropt.searching.executor import Trial
from neuropt.searching.ledger import Ledger, open_ledger
from neuropt.searching.search import run_search
from neuropt.searching.snapshots import FILE, SnapshotEngine, load_snapshot, save_snapshot
from neuropt.training.work import do_work
from tests.searching.searches import DATA, SMALL, TASK, contents, open_engine, run_small
from tests.searching.test_damage import files_up_to

MORE = replace(SMALL, rules=48, lag=3)


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "EVERY", 0.0)


def reopened(config: SearchConfig, path: Path) -> SearchEngine:
    """A search that goes on, from its snapshot."""
    snapshot = load_snapshot(path.parent, open_engine(config, path, replay=False))
    assert snapshot is not None
    engine = open_engine(config, path, replay=False)
    engine.resume(snapshot)
    return engine


def some_steps(engine: SearchEngine, folder: Path, steps: int, draw: random.Random) -> None:
    """Ask and finish in any order that several workers could have, with a snapshot before each asking; then leave it there."""
    kept = SnapshotEngine(engine, folder)
    running: list[Trial] = []
    for _ in range(steps):
        trial = kept.next_trial() if len(running) < 3 and draw.random() < 0.6 else "later"
        if isinstance(trial, Trial):
            running.append(trial)
        elif running:
            done = running.pop(draw.randrange(len(running)))
            kept.finish(done.number, do_work(done.work, TASK, DATA))
    engine.ledger.close()


@pytest.mark.parametrize("config", [MORE, replace(MORE, deterministic=False)], ids=["deterministic", "as they end"])
@pytest.mark.parametrize("seed", range(3))
def test_a_search_stopped_anywhere_goes_on_from_its_snapshot_as_from_its_ledger(
    tmp_path: Path, seed: int, config: SearchConfig
) -> None:
    draw = random.Random(seed)
    path, copy = tmp_path / "run" / "ledger", tmp_path / "copy"
    path.parent.mkdir()
    some_steps(open_engine(config, path), path.parent, draw.randrange(4, 12), draw)
    copy.write_bytes(path.read_bytes())
    from_snapshot, from_ledger = reopened(config, path), open_engine(config, copy)
    assert from_snapshot.told == from_ledger.told
    assert contents(finished(from_snapshot)) == contents(finished(from_ledger))


def finished(engine: SearchEngine) -> Ledger:
    """Search to the end, one trial after the other."""
    while isinstance(trial := engine.next_trial(), Trial):
        engine.finish(trial.number, do_work(trial.work, TASK, DATA))
    return engine.ledger


def test_the_controller_is_not_asked_again_for_what_a_snapshot_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger"
    engine = open_engine(SMALL, path)
    finished(engine)
    save_snapshot(tmp_path, engine)
    engine.ledger.close()
    monkeypatch.setattr(PPO, "ask", None)  # to call it would raise
    assert reopened(SMALL, path).next_trial() == "finished"


def spoilt(name: str, good: dict[str, Any]) -> object:
    """A file that is no snapshot of this ledger."""
    match name:
        case "text":
            return "hello"
        case "another run":
            return good | {"of": good["of"] | {"created": "1999"}}
        case "other versions":
            return good | {"of": good["of"] | {"torch": "1.0"}}
        case "later than the ledger":
            return good | {"events": 10**6}
        case "another controller's":
            return good | {"controller": {"algorithm": "random"}}
        case _:
            return {key: value for key, value in good.items() if key != "told"}


@pytest.mark.parametrize(
    "name", ["text", "another run", "other versions", "later than the ledger", "another controller's", "incomplete"]
)
def test_a_snapshot_that_does_not_fit_is_left_out(tmp_path: Path, name: str) -> None:
    path = tmp_path / "ledger"
    engine = open_engine(SMALL, path)
    for _ in range(2):
        trial = engine.next_trial()
        assert isinstance(trial, Trial)
        engine.finish(trial.number, do_work(trial.work, TASK, DATA))
    save_snapshot(tmp_path, engine)
    assert load_snapshot(tmp_path, open_engine(SMALL, path, replay=False)) is not None
    torch.save(spoilt(name, torch.load(tmp_path / FILE, weights_only=True)), tmp_path / FILE)
    assert load_snapshot(tmp_path, open_engine(SMALL, path, replay=False)) is None


def test_a_snapshot_is_not_taken_for_one_of_a_ledger_that_was_put_back_and_grew_again(tmp_path: Path) -> None:
    path, earlier = tmp_path / "ledger", tmp_path / "earlier"
    engine = open_engine(SMALL, path)
    for step in range(4):
        trial = engine.next_trial()
        assert isinstance(trial, Trial)
        engine.finish(trial.number, do_work(trial.work, TASK, DATA))
        if step == 1:
            earlier.write_bytes(path.read_bytes())
    save_snapshot(tmp_path, engine)
    engine.ledger.close()
    path.write_bytes(earlier.read_bytes())
    again = open_engine(SMALL, path, replay=False)
    assert load_snapshot(tmp_path, again) is None
    again.ledger.close()
    finished(open_engine(SMALL, path)).close()  # killed before it has kept a snapshot of its own
    assert load_snapshot(tmp_path, open_engine(SMALL, path, replay=False)) is None


def test_a_pickle_in_its_place_is_not_run(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path(tmp_path / "harmed").touch, ())

    path = tmp_path / "ledger"
    run_small(SMALL, path)
    torch.save(Harm(), tmp_path / FILE)
    assert load_snapshot(tmp_path, open_engine(SMALL, path, replay=False)) is None
    assert not (tmp_path / "harmed").exists()


def test_a_full_disk_costs_the_snapshot_and_nothing_else(tmp_path: Path) -> None:
    engine = open_engine(SMALL, tmp_path / "ledger")
    engine.next_trial()
    with files_up_to(1_000):
        save_snapshot(tmp_path, engine)
    assert not list(tmp_path.glob("snapshot*"))


def test_a_run_keeps_one_and_goes_on_from_it(tmp_path: Path) -> None:
    run_search(replace(SMALL, rules=12), tmp_path / "run")
    (tmp_path / "run" / "config.toml").write_text(SMALL.to_toml(), encoding="utf-8")
    assert (tmp_path / "run" / FILE).is_file()
    run_search(SearchConfig(), tmp_path / "run", resume=True)
    expected = run_small(SMALL, tmp_path / "plain").ledger.counts()
    with closing(open_ledger(tmp_path / "run" / "ledger.sqlite")) as ledger:
        assert ledger.counts()["trained"] == expected["trained"] == SMALL.rules
