"""Times of pieces of critical paths, for a row of targets/families.def.

usage: calibrate_delays.py REPORT.json ...

Each REPORT.json is what nextpnr wrote with --report. Prints, over critical paths inside a clock
domain of all reports: how many arcs of each kind there are, their mean and their largest time, ns.
Means of nets are what `routing` should be: nets of critical paths, not of all.
"""

import collections
import json
import pathlib
import sys


def kind_of(arc):
    """The arc's name in the table, or nothing for dedicated nets."""
    start, end = arc["from"].get("port", ""), arc["to"].get("port", "")
    if arc["type"] != "routing":
        into = "input" if start[:1] in "ABCD" else start
        return f"{arc['type']} {into} -> {end}" if arc["type"] == "logic" else arc["type"]
    if arc["delay"] == 0:
        return ""
    return "net to logic" if end[:1] in "ABCDM" else f"net to {end}"


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__.strip())
    times = collections.defaultdict(list)
    for name in sys.argv[1:]:
        report = json.loads(pathlib.Path(name).read_text())
        for path in report["critical_paths"]:
            if not path["from"].startswith("posedge") or not path["to"].startswith("posedge"):
                continue
            for arc in path["path"]:
                kind = kind_of(arc)
                if kind:
                    times[kind].append(arc["delay"])
    for kind, delays in sorted(times.items()):
        mean = sum(delays) / len(delays)
        print(f"{kind:28} {len(delays):4} arcs, mean {mean:.3f}, largest {max(delays):.3f} ns")


if __name__ == "__main__":
    main()
