"""A hub folder: loaded by torch.hub, and told by its card."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from neuropt import create_optimizer, export_hub, from_export, write_export
from neuropt.exporting import Provenance, export_rule
from search_space import parse_rule, zoo

FOUND = Provenance(
    name="digits:1",
    lr=0.05,
    run="digits:1",
    task="digits-mlp",
    date="2026-11-21",
    summary="finalist: validation accuracy 0.9500, test accuracy 0.9400, medians of n = 10 fresh seeds",
)


def test_torch_hub_loads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))  # restores sys.path, which torch.hub extends
    rule = zoo()["powersign-cd"]
    folder = write_export(export_hub(rule, Provenance(name="powersign-cd")), tmp_path / "powersign")
    ours, theirs = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    optimizer: Any = torch.hub.load(
        str(folder), "powersign_cd", source="local", params=[ours], lr=0.1, decay_steps=5, beta=0.5
    )
    other = create_optimizer(rule, [theirs], lr=0.1, decay_steps=5, beta=0.5)
    for step in range(4):
        ours.grad, theirs.grad = (torch.sin(torch.arange(3.0) + step) for _ in range(2))
        optimizer.step()
        other.step()
    torch.testing.assert_close(ours, theirs)
    sys.modules.pop("powersign_cd_optimizer")


def test_two_folders_of_one_name_give_their_own_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))  # restores sys.path, which torch.hub extends
    folders = [write_export(export_hub(parse_rule(text)), tmp_path / text) for text in ("g", "-g")]
    made: list[Any] = []
    for folder in (*folders, *folders[::-1]):
        w = torch.zeros(1, requires_grad=True)
        w.grad = torch.ones(1)
        made.append(torch.hub.load(str(folder), "found_rule", source="local", params=[w], lr=1.0))
        made[-1].step()
        assert w.item() == (-1 if folder == folders[0] else 1)
    assert type(made[1]) is type(made[2]), "loaded once more, it is the same class"
    sys.modules.pop("found_rule_optimizer")


@pytest.mark.parametrize("name", zoo())
def test_every_rule_has_a_folder_that_gives_it_back(name: str) -> None:
    files = export_hub(zoo()[name], Provenance(name=name))
    assert {"hubconf.py", "README.md", "rule.json"} < files.keys()
    assert all(
        from_export(text) == zoo()[name] for file, text in files.items() if file not in ("hubconf.py", "README.md")
    )


def test_the_card_tells_use_evaluation_origin_and_limits() -> None:
    card = export_hub(parse_rule("drop(g, 0.1) / norm(g) * ld"), FOUND)["README.md"]
    head, body = card.split("---\n")[1:]
    assert yaml.safe_load(head) == {"library_name": "pytorch", "tags": ["optimizer", "update-rule", "neuropt"]}
    sections = [line for line in body.splitlines() if line.startswith("#")]
    assert sections == ["# Digits1", "## Formula", "## Use", "## Evaluation", "## Origin", "## Limits"]
    for said in (
        "medians of n = 10 fresh seeds",
        "- run: `digits:1`",
        "`decay_steps`",
        "Searched on `digits-mlp`",
        "shards that are plain tensors give other numbers; DTensors (FSDP2) give the same",
        "`seed`",
    ):
        assert said in body
    assert "refused" not in body.partition("## Limits")[2].replace("sparse ones are refused", "")
    loaded = '"FOLDER", "digits_1", source="local", params=model.parameters(), lr=0.05, decay_steps=STEPS'
    assert " ".join(loaded.split()) in " ".join(body.replace(",\n", ", ").split()).replace("  ", " ")
    plain = export_hub(parse_rule("g"))["README.md"]
    assert "None is recorded with this rule." in plain
    assert not any(said in plain for said in ("shards", "`seed`", "decay_steps", "found by neuropt"))


def test_what_a_rule_is_is_said_first() -> None:
    said = {
        "found by neuropt": FOUND,
        "a known update rule (Bello et al. 2017)": Provenance(name="powersign", source="Bello et al. 2017"),
        ": an update rule.": Provenance(name="mine"),
    }
    for words, provenance in said.items():
        for target in ("torch", "python", "optax", "keras"):
            assert words in export_rule(parse_rule("g"), target, provenance).split("\n")[0]


def test_a_folder_is_not_overwritten_unasked(tmp_path: Path) -> None:
    files = export_hub(parse_rule("g"), Provenance(name="plain"))
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(FileExistsError, match=r"README.md exists"):
        write_export(files, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    write_export(files, tmp_path, overwrite=True)
    assert json.loads((tmp_path / "rule.json").read_text())["rule"] == "g"
