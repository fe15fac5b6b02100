"""`python -m benchmarks`: measures and prints the table."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import (
    artifact_places,
    artifacts,
    autologging,
    footprint,
    launching,
    listing,
    models,
    printing,
    recording,
    reproducing,
    sharing,
    startup,
    table,
    ui,
)
from benchmarks.measure import Bench, Figure
from benchmarks.peers import Peer, find_peers
from benchmarks.table import Result, Row

GROUPS = (
    startup,
    listing,
    launching,
    printing,
    recording,
    autologging,
    artifacts,
    artifact_places,
    sharing,
    reproducing,
    models,
    ui,
    footprint,
)
ROWS = [row for group in GROUPS for row in group.ROWS]


def main() -> None:
    options = parse()
    rows = [row for row in ROWS if not options.only or row.key in options.only]
    with tempfile.TemporaryDirectory(prefix="gitexp-benchmarks-", ignore_cleanup_errors=True) as scratch:
        bench = Bench(Path(scratch), times=options.times)
        peers = find_peers(bench, options.peers_venv)
        versions = ", ".join(f"{peer.name} {peer.version}" for peer in peers) or "none (see --peers-venv)"
        about = {"machine": table.machine(), "peers": versions, "median of": options.times}
        results = [measure(bench, row, peers, own=not options.peers_only) for row in rows]
    if options.json:
        print(json.dumps({**about, "rows": table.as_json(results)}, indent=1))
        return
    for name, text in about.items():
        print(f"{name}: {text}")
    print(f"\n{table.as_text(results)}\n")
    print("\n".join(table.notes(results)))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures what gitexp costs.")
    keys = ", ".join(row.key for row in ROWS)
    parser.add_argument("--only", type=lambda text: text.split(","), metavar="ROW,...", help=f"these rows: {keys}")
    parser.add_argument("--times", type=int, default=5, help="repetitions that a median is taken of (default: 5)")
    venv = parser.add_argument("--peers-venv", type=Path, action="append", default=[], metavar="FOLDER")
    venv.help = "an environment with peers in it; may be repeated"
    parser.add_argument("--peers-only", action="store_true", help="leave gitexp itself out")
    parser.add_argument("--json", action="store_true", help="print everything measured as JSON")
    options = parser.parse_args()
    unknown = sorted(set(options.only or ()) - {row.key for row in ROWS})
    if unknown:
        parser.error(f"there is no row {', '.join(unknown)}")
    return options


def measure(bench: Bench, row: Row, peers: Sequence[Peer], *, own: bool) -> Result:
    """One row, for gitexp and for each peer that can do the work. A measurement that fails is said, not guessed."""
    load = os.getloadavg()[0]
    wanted: Mapping[str, Callable[[], Figure]] = {
        **({"gitexp": lambda: row.measure(bench)} if own else {}),
        **{peer.name: peer.measures[row.key] for peer in peers if row.key in peer.measures},
    }
    figures, failures = {}, {}
    for name, take in wanted.items():
        print(f"measuring {row.key}: {name} ...", file=sys.stderr, flush=True)
        try:
            figures[name] = take()
        except Exception as error:
            failures[name] = f"{type(error).__name__}: {error}"
    return Result(row=row, gitexp=figures.pop("gitexp", None), peers=figures, failures=failures, load=load)


if __name__ == "__main__":
    main()
