from pathlib import Path

from controllers import METRIC_MEANINGS

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_the_page_of_metrics_says_what_the_code_says() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name, meaning in METRIC_MEANINGS.items():
        in_a_cell = meaning.replace("|", r"\|")
        assert f"| `{name}` | {in_a_cell} |" in text
