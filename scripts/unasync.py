# ruff: noqa: INP001  # a program, started by its path
"""Makes the synchronous client and its tests out of the asynchronous ones; `--check` tells whether they are current.

A word that is replaced nowhere, or an `async` that is left over, is an error: the table must stay true.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("src/homeport/client", "tests/unit/client")
BY_HAND = {"backend.py"}

# In order; each pattern is matched against the whole text.
REPLACEMENTS = {
    r"\basync def\b": "def",
    r"\basync with\b": "with",
    r"\basync for\b": "for",
    r"\bawait ": "",
    r"\bAsyncIterator\b": "Iterator",
    r"\b__aenter__\b": "__enter__",
    r"\b__aexit__\b": "__exit__",
    r"\baclose\b": "close",
    r"\bazure\.iot\.device\.aio\b": "azure.iot.device",
    r"\b_async\b": "_sync",
}
HEADER = "# Made by scripts/unasync.py: change its twin in _async instead.\n"
LEFT_OVER = re.compile(r"\b(async|await|asyncio|aio)\b")


def main(arguments: list[str]) -> int:
    """Write the twins, or check them; return the exit status."""
    check = arguments == ["--check"]
    used: set[str] = set()
    stale = [twin for folder in FOLDERS for twin in make_folder(ROOT / folder, used, write=not check)]
    if unused := REPLACEMENTS.keys() - used:
        sys.stderr.write(f"these replacements replace nothing: {sorted(unused)}\n")
        return 1
    if check and stale:
        sys.stderr.write("run scripts/unasync.py, these are stale:\n" + "".join(f"  {twin}\n" for twin in stale))
        return 1
    return 0


def make_folder(folder: Path, used: set[str], *, write: bool) -> list[Path]:
    """Make the twins of one folder; return those that were not current."""
    source, target = folder / "_async", folder / "_sync"
    originals = {path.name for path in source.glob("*.py")} - BY_HAND
    stale = []
    for name in sorted(originals):
        twin = target / name
        text = translate((source / name).read_text(), used, name=str(twin.relative_to(ROOT)))
        if not twin.exists() or twin.read_text() != text:
            stale.append(twin.relative_to(ROOT))
            if write:
                target.mkdir(exist_ok=True)
                twin.write_text(text)
    for orphan in sorted({path.name for path in target.glob("*.py")} - originals - BY_HAND):
        stale.append((target / orphan).relative_to(ROOT))
        if write:
            (target / orphan).unlink()
    return stale


def translate(text: str, used: set[str], *, name: str) -> str:
    """Return the synchronous text of a module, formatted."""
    for pattern, replacement in REPLACEMENTS.items():
        text, count = re.subn(pattern, replacement, text)
        if count:
            used.add(pattern)
    if left := LEFT_OVER.search(text):
        raise SystemExit(f"{name}: '{left[0]}' is left over")
    return tidy(HEADER + text, name)


def tidy(text: str, name: str) -> str:
    """Format: lines became shorter, imports may have to be sorted anew."""
    ruff = [sys.executable, "-m", "ruff"]
    for command in (
        ["check", "--quiet", "--select", "I,C416,SIM117,UP028", "--unsafe-fixes", "--fix-only"],
        ["format", "--quiet"],
    ):
        done = subprocess.run(  # noqa: S603  # our own formatter, on our own files
            [*ruff, *command, "--stdin-filename", name, "-"],
            input=text,
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        )
        text = done.stdout
    return text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
