"""Compares adder graphs with the peers' figures.

usage: cmvm.py PROGRAM PEERS.csv MATRICES.npz ... [--extra-depth N] [--only PATTERN] [--largest N]

PROGRAM is the built `bench/cmvm`. Each .npz holds integer matrices W[n_in, n_out]; the inputs are
8-bit signed. PEERS.csv has one row per tool, matrix and extra depth. Prints one line per matrix and
the mean ratios to the better peer (the one with fewer full-adder bits).
"""

import argparse
import csv
import fnmatch
import math
import pathlib
import subprocess
import tempfile

import numpy


def read_peers(path, extra_depth):
    """The better peer's row for each matrix, and the least seconds of any peer."""
    best = {}
    seconds = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            if row["extra_depth"] != extra_depth:
                continue
            name = row["matrix"]
            seconds[name] = min(seconds.get(name, math.inf), float(row["seconds"]))
            if name not in best or int(row["full_adder_bits"]) < int(best[name]["full_adder_bits"]):
                best[name] = row
    return best, seconds


def write_matrix(file, name, matrix):
    file.write(f"{name} {matrix.shape[0]} {matrix.shape[1]} -128 127\n")
    for row in matrix.tolist():
        file.write(" ".join(map(str, row)) + "\n")


def mean(values):
    return sum(values) / len(values) if values else math.nan


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("peers")
    parser.add_argument("matrices", nargs="+")
    parser.add_argument("--extra-depth", default="unlimited")
    parser.add_argument("--only", default="*", help="names to take, a shell pattern")
    parser.add_argument("--largest", type=int, default=10**9, help="most weights of a matrix")
    parser.add_argument("--arguments", nargs="*", default=[], help="further ones for PROGRAM")
    options = parser.parse_args()

    peers, peer_seconds = read_peers(options.peers, options.extra_depth)
    with tempfile.TemporaryDirectory() as folder:
        text = pathlib.Path(folder) / "matrices.txt"
        with open(text, "w") as file:
            for path in options.matrices:
                for name, matrix in numpy.load(path).items():
                    if fnmatch.fnmatch(name, options.only) and matrix.size <= options.largest:
                        write_matrix(file, name, matrix)
        depth = "-1" if options.extra_depth == "unlimited" else options.extra_depth
        command = [options.program, str(text), depth, *options.arguments]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    print(f"{'matrix':28}{'adders':>8}{'depth':>6}{'bits':>8}{'s':>9}{'peer adders':>12}", end="")
    print(f"{'depth':>6}{'bits':>8}{'s':>9}{'adders':>8}{'bits':>7}{'time':>7}")
    ratios = []
    total = 0.0
    for line in lines.splitlines():
        name, adders, depth, bits, seconds, _ = line.split()
        total += float(seconds)
        print(f"{name:28}{adders:>8}{depth:>6}{bits:>8}{seconds:>9}", end="")
        if name not in peers:
            print()
            continue
        peer = peers[name]
        ratio = (
            int(adders) / int(peer["adders"]),
            int(bits) / int(peer["full_adder_bits"]),
            float(seconds) / peer_seconds[name],
        )
        ratios.append(ratio)
        print(f"{peer['adders']:>12}{peer['depth']:>6}{peer['full_adder_bits']:>8}", end="")
        print(f"{peer_seconds[name]:>9.4f}{ratio[0]:>8.3f}{ratio[1]:>7.3f}{ratio[2]:>7.2f}")
    adders, bits, time = ([ratio[k] for ratio in ratios] for k in range(3))
    print(f"mean of {len(ratios)} ratios to the better peer: adders {mean(adders):.4f}")
    print(f"  full-adder bits {mean(bits):.4f}, worst {max(bits, default=math.nan):.4f}", end="")
    print(f"; time {mean(time):.3f}")
    print(f"CPU seconds in all: {total:.3f}")


if __name__ == "__main__":
    main()
