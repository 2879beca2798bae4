"""`python -m bench`: what to measure, and where the figures go."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from bench import report, run

RESULTS = Path(__file__).parent / "results"
_SECTIONS = f"which of {', '.join(run.SECTIONS)} (these, unless told otherwise), {', '.join(run.LONG_SECTIONS)}"
SCALES = {"full": run.full, "quick": run.quick, "smoke": run.smoke}


def main() -> None:
    options = _options()
    # Beside a pipe as wide as the widest table.
    console = Console(width=None if sys.stdout.isatty() else 120)
    scale = SCALES[options.scale](options.tls)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, console.status("") as status:
        results = run.measure(scale, options.sections or run.SECTIONS, Path(folder), status.update)
    report.show(results, console)
    path = options.output or RESULTS / time.strftime("%Y%m%d-%H%M%S.json", time.gmtime())
    report.write(results, path)
    console.print(f"Kept in {path}", style="dim", soft_wrap=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measures a real Homeport server on a loopback address; everything takes about three minutes.",
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=_SECTIONS)
    scales = parser.add_mutually_exclusive_group()
    scales.add_argument(
        "--quick", dest="scale", action="store_const", const="quick", help="less of each, half a minute"
    )
    scales.add_argument("--smoke", dest="scale", action="store_const", const="smoke", help="one of each: does it run")
    parser.add_argument("--tls", choices=("1.2", "1.3"), default="1.3", help="the version that clients speak")
    parser.add_argument("--output", type=Path, help="the JSON file for the figures (default: one in bench/results/)")
    parser.set_defaults(scale="full")
    options = parser.parse_args()
    unknown = sorted(set(options.sections) - {*run.SECTIONS, *run.LONG_SECTIONS})
    if unknown:
        parser.error(f"there is no section {', '.join(unknown)}")
    return options


if __name__ == "__main__":
    main()
