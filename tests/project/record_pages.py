"""Write what the steps of a page print into the page: `python -m tests.project.record_pages docs/tutorials/first-search.md`.

The steps are run in a temporary folder that has `examples/`, as the tests run them; look at the difference before it is committed.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.project.pages import FENCE, ROOT, Step, commands, run, written_anew


def record(page: Path) -> str:
    """Return the page with what its steps print here and now."""
    text, outputs = page.read_text(encoding="utf-8"), {}
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "examples", Path(folder) / "examples")
        os.chdir(folder)
        try:
            for number, (language, title, body) in enumerate(FENCE.findall(text)):
                for i, (typed, _) in enumerate(commands(body) if language == "console" else []):
                    began = time.process_time()
                    code, outputs[number, i] = run(Step(typed))
                    used = time.process_time() - began
                    print(f"{page.name}: exit code {code}, {used:.1f} s: {typed}", file=sys.stderr, flush=True)
                if title:
                    run(Step(body, file=title))
        finally:
            os.chdir(before)
    return written_anew(text, outputs)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        recorded = record(Path(name))
        Path(name).write_text(recorded, encoding="utf-8")
