"""The files in deploy/: what can be checked without a cloud."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.scripts.scripts import cli

from neuropt.commands import COMMANDS
from neuropt.commands.parsing import parse

DEPLOY = Path(__file__).parents[2] / "deploy"
FILES = ["ray-cluster.yaml", "search.slurm", "rayjob.yaml"]
COMMAND = re.compile(r"(?:^|[\s/'])((?:ray|neuropt) (?:start|stop|search) ?[^#;&']*)")


def commands(name: str) -> list[str]:
    """Command lines of a file, continued lines joined."""
    text = (DEPLOY / name).read_text(encoding="utf-8").replace("\\\n", " ")
    text = re.sub(r"^# *", "", text, flags=re.MULTILINE)
    return [match.strip() for line in text.splitlines() for match in COMMAND.findall(line)]


def filled(command: str) -> list[str]:
    """Arguments with a value for each of the shell's variables."""
    command = command.replace('"${OPTIONS[@]}"', "--rules 20000")
    with_values = re.sub(r"\"\$\(\([^)]*\)\)\"|\"?\$\{?[A-Za-z_]+[^\s\"/]*\}?\"?", "7", command)
    return shlex.split(with_values)


def test_every_file_is_listed() -> None:
    listed = (DEPLOY / "README.md").read_text(encoding="utf-8")
    assert sorted(path.name for path in DEPLOY.iterdir() if path.name != "README.md") == sorted(FILES)
    assert all(f"`{name}`" in listed for name in FILES)


def test_ray_takes_the_cluster_file() -> None:
    config = yaml.safe_load((DEPLOY / "ray-cluster.yaml").read_text(encoding="utf-8"))
    validate_config(prepare_config(config))
    config["provder"] = config.pop("provider")
    with pytest.raises(Exception, match=r"provider|Unrecognized|unexpected"):
        validate_config(prepare_config(config))


def test_the_shell_parses_the_script() -> None:
    parsed = subprocess.run(["bash", "-n", DEPLOY / "search.slurm"], check=False, capture_output=True)
    assert (parsed.returncode, parsed.stderr) == (0, b"")


def test_the_job_names_what_kuberay_needs() -> None:
    job: dict[str, Any] = yaml.safe_load((DEPLOY / "rayjob.yaml").read_text(encoding="utf-8"))
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}, (
        "so that who submits the job and asks how it goes has the token too"
    )
    head, *workers = [group["template"]["spec"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]
    for pod in (head, *workers):
        (container,) = pod["containers"]
        assert [variable["name"] for variable in container["env"]] == ["OMP_NUM_THREADS"]
        assert {"image", "resources"} <= container.keys()
    assert head["volumes"]
    assert not any("volumes" in pod for pod in workers), (
        "a claim is often for one machine, and runs lie at the driver alone"
    )


def test_steps_of_slurm_have_the_cpus_that_ray_is_told_of() -> None:
    """Since Slurm 22.05 srun takes `--cpus-per-task` of its own variable alone."""
    script = (DEPLOY / "search.slurm").read_text(encoding="utf-8")
    assert script.index('export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"') < script.index("srun --overlap")


@pytest.mark.parametrize("name", FILES)
def test_every_command_line_is_understood(name: str) -> None:
    found = commands(name)
    assert found
    for program, verb, *arguments in map(filled, found):
        if program == "neuropt":
            parse(COMMANDS, [verb, *arguments])
        else:
            cli.commands[verb].make_context(verb, arguments)
    assert any(command.startswith("neuropt search") for command in found)
