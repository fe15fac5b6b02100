"""Reads records from stdin, writes the good ones to stdout and a report to stderr; 1 if any was bad, like grep."""

import json
import statistics
import sys


def main() -> int:
    lengths = []
    bad = 0
    for number, line in enumerate(sys.stdin, start=1):
        try:
            record = json.loads(line)
            lengths.append(len(record["text"]))
        except (ValueError, KeyError) as error:
            print(f"line {number}: {error!r}", file=sys.stderr)
            bad += 1
            continue
        json.dump({"id": record["id"], "length": lengths[-1]}, sys.stdout)
        sys.stdout.write("\n")
    print(f"read {len(lengths) + bad} records, {bad} bad, mean length {statistics.mean(lengths):.2f}", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
