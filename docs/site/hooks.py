"""What mkdocs does with these documents beside rendering them.

- A link that leaves `docs/`, such as `../deploy/README.md`, works in a checkout; on the site it leads to the repository.
- README.md, CHANGELOG.md and CONTRIBUTING.md are pages of the site, from where they lie.
- Where a block is `<!-- not run: REASON -->`, the page says so.
- The reference of the command line is what `neuropt COMMAND --help` prints.
"""

from __future__ import annotations

import html
import io
import os
import posixpath
import re
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
REPOSITORY = "https://github.com/neuropt/neuropt/blob/main/"
FROM_THE_ROOT = {"README.md": "start.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)(#[^)\s]*)?(?=\))")
NOT_RUN = re.compile(r"<!-- not run: ([^\n]+?) -->")
HELP = "<!-- help of every command -->"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie at the root of the repository."""
    for name, place in FROM_THE_ROOT.items():
        files.append(File.generated(config, place, content=(ROOT / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links outwards, and put in what is generated."""
    at_root = {place: name for name, place in FROM_THE_ROOT.items()}
    source = at_root.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    markdown = LINK.sub(lambda link: led(link[1], source, page.file.src_uri) + (link[2] or ""), markdown)
    markdown = NOT_RUN.sub(r'<small class="not-run">No test runs this: \1.</small>\n', markdown)
    return markdown.replace(HELP, help_of_commands()) if HELP in markdown else markdown


def on_post_build(config: MkDocsConfig) -> None:
    """Give pages that are opened from a folder the index of the search as a script, which is how the theme reads it there."""
    index = Path(config.site_dir) / "search" / "search_index.json"
    index.with_suffix(".js").write_text(f"var __index = {index.read_text(encoding='utf-8')}", encoding="utf-8")


def led(link: str, source: str, page: str) -> str:
    """Return where a link of the file `source` leads on the site, from `page`.

    >>> led("../CONTRIBUTING.md", "docs/faq.md", "faq.md"), led("../deploy/README.md", "docs/faq.md", "faq.md")
    ('contributing.md', 'https://github.com/neuropt/neuropt/blob/main/deploy/README.md')
    """
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    inside = FROM_THE_ROOT.get(target) or (target.removeprefix("docs/") if target.startswith("docs/") else None)
    return posixpath.relpath(inside, posixpath.dirname(page) or ".") if inside else REPOSITORY + target


def help_of_commands() -> str:
    """Return what `--help` prints for each command, as Markdown."""
    from neuropt.commands import COMMANDS

    os.environ |= {"COLUMNS": "110", "NO_COLOR": "1", "TERM": "dumb"}
    parts = []
    for name in COMMANDS:
        parts += [f"## neuropt {name}", f'<pre class="help">{html.escape(help_of(name))}</pre>']
    return "\n\n".join(parts)


def help_of(*words: str) -> str:
    """Return what `neuropt WORDS --help` prints."""
    from neuropt.cli import main

    said: Any = io.StringIO()
    with redirect_stdout(said):
        main([*words, "--help"])
    return re.sub(r"\x1b\[[\d;]*m", "", said.getvalue()).rstrip()
