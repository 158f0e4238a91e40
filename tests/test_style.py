"""The repository is formatted, free of lint, and pages stay thin."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("arguments", [["check"], ["format", "--check"]])
def test_ruff(arguments):
    folders = [name for name in ("app", "gelda", "pages", "tests", "benchmarks") if (ROOT / name).is_dir()]
    command = [sys.executable, "-m", "ruff", *arguments, "--no-cache", *folders]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]


def test_pages_have_at_most_80_lines():
    pages = sorted((ROOT / "pages").glob("*.py"))
    assert pages
    for page in pages:
        assert len(page.read_text().splitlines()) <= 80, page.name


def test_what_is_said_of_a_mistake_goes_through_one_function():
    """`widgets.warn` escapes it: an error may name a file or what the address holds."""
    raw = []
    for file in sorted([*(ROOT / "app").glob("*.py"), *(ROOT / "pages").glob("*.py")]):
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.args:
                box = call.func.attr in ("warning", "error", "info", "success", "toast")
                if box and not isinstance(call.args[0], ast.Constant) and file.name != "widgets.py":
                    raw.append(f"{file.name}:{call.lineno}")
    assert not raw, "use widgets.warn"


def test_types_of_the_engine():
    command = [sys.executable, "-m", "mypy", "gelda"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
