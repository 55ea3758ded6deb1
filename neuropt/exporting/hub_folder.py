"""A rule as a folder for `torch.hub`: `hubconf.py`, the torch file, the JSON and a card that says what it is and what it is not.

torch.hub.load("powersign", "powersign", source="local", params=model.parameters(), lr=0.1)
"""

from __future__ import annotations

from string import Template

from neuropt.exporting.json_file import export_json
from neuropt.exporting.layout import class_name, formatted, function_name
from neuropt.exporting.markdown_file import code, formula, hyperparameters, origin
from neuropt.exporting.provenance import Provenance
from neuropt.exporting.torch_file import export_torch
from search_space import Rule

HUBCONF = Template('''"""$headline

    torch.hub.load(FOLDER, "$entry", source="local", params=model.parameters())
"""

import pathlib
import sys

dependencies = ["torch"]


def $entry(params, **hyper):
    """Make a $name optimizer; see README.md for its hyperparameters."""
    file = pathlib.Path(__file__).resolve().with_name("${entry}_optimizer.py")
    loaded = sys.modules.get("${entry}_optimizer")
    if loaded is not None and pathlib.Path(loaded.__file__).resolve() != file:
        del sys.modules["${entry}_optimizer"]  # that of another folder
    from ${entry}_optimizer import $name

    return $name(params, **hyper)
''')

CARD = Template("""---
library_name: pytorch
tags: [optimizer, update-rule, neuropt]
---

# $name

$what

## Formula

$formula

$hyperparameters

## Use

From this folder, or from a repository that holds it:

```python
import torch

$load
```

`${entry}_optimizer.py` needs torch and nothing else: copy it, and `from ${entry}_optimizer import $name`. `python ${entry}_optimizer.py`
replays recorded steps. `rule.json` is the rule for other programs; `neuropt.from_export("rule.json")` reads it.

## Evaluation

$evaluation

## Origin

$origin

## Limits

$limits
""")


def export_hub(rule: Rule, provenance: Provenance | None = None) -> dict[str, str]:
    """Return the files of a folder, text by name.

    >>> from search_space import parse_rule
    >>> sorted(export_hub(parse_rule("g"), Provenance(name="plain")))
    ['README.md', 'hubconf.py', 'plain_optimizer.py', 'rule.json']
    """
    provenance = provenance or Provenance()
    name, entry = class_name(provenance.name), function_name(provenance.name)
    return {
        "hubconf.py": formatted(HUBCONF.substitute(name=name, entry=entry, headline=f"{name} for torch.hub:")),
        f"{entry}_optimizer.py": export_torch(rule, provenance),
        "rule.json": export_json(rule, provenance),
        "README.md": card(rule, provenance),
    }


def card(rule: Rule, provenance: Provenance) -> str:
    """Return what the folder is, in the manner of a model card."""
    known = f"A known update rule ({code(provenance.source)})" if provenance.source else "An update rule"
    loading = ['"FOLDER"', f'"{function_name(provenance.name)}"', 'source="local"', "params=model.parameters()"]
    loading += [f"lr={float(provenance.lr)!r}", *["decay_steps=STEPS"] * rule.reads("T")]
    text = CARD.substitute(
        name=class_name(provenance.name),
        entry=function_name(provenance.name),
        what=f"{'An update rule found by neuropt' if provenance.run else known}, as a torch optimizer.",
        formula=formula(rule),
        hyperparameters=hyperparameters(rule),
        load=formatted(f"optimizer = torch.hub.load({', '.join(loading)})").rstrip(),
        evaluation=f"{code(provenance.summary)}." if provenance.summary else "None is recorded with this rule.",
        origin=origin(provenance) or "Nothing is recorded.",
        limits="\n".join(f"- {limit}" for limit in limits(rule, provenance)),
    )
    return text.replace("\n\n\n", "\n\n")


def limits(rule: Rule, provenance: Provenance) -> list[str]:
    """Return what somebody who uses the rule should know."""
    facts = [
        "Gradients are dense; sparse ones are refused.",
        "Half precision is computed, and remembered, in single precision.",
    ]
    if provenance.task:
        facts.append(f"Searched on {code(provenance.task)}: on other tasks, tune lr and compare before relying on it.")
    else:
        facts.append("The learning rate is where to start, not tuned for your task.")
    if rule.reads("T"):
        facts.append("It decays over `decay_steps`, the planned steps, which you give.")
    if not rule.pointwise:
        facts.append(
            "It reduces over whole tensors: shards that are plain tensors give other numbers; DTensors (FSDP2) give the same."
        )
    if not rule.deterministic:
        facts.append("It draws random numbers, from `seed` and the step; equal seeds repeat.")
    return facts
