"""Logs larger than memory: shuffled Parquet in long form -> exact counts, seconds and peak memory.

Run: `python benchmarks/bench_logs.py [rows] [--workers W] [--folder DIR]`; rows 10^7 by default. The rows of ten agents
are spread over files, each of which covers the whole time and is shuffled. Reading and counting run in a process of
their own, whose peak memory is shown; the counts are compared with those of a plain numpy loop over the steps.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

AGENTS, STATES, ACTIONS, EPISODE, FILE = 10, 4, 2, 1000, 10**7
PAIRS = STATES * ACTIONS

CHILD = """
import json, resource, sys, time
import markov_entanglement as me
def main():
    begin = time.perf_counter()
    log = me.read_logs(sys.argv[1])
    read = time.perf_counter() - begin
    tally = me.tally(log, workers=int(sys.argv[2]))
    whole = time.perf_counter() - begin
    import hashlib
    digest = hashlib.sha256()
    for name, t in tally.tables.items():
        digest.update(name.encode() + t.code.tobytes() + t.count.tobytes())
    moves = [tally.transitions(i).tolist() for i in range(len(tally.sizes))]
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    own = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))  # not the parent's, as ru_maxrss
    peak = max(int(own.split()[1]), used[1].ru_maxrss) / 1024
    cpu = sum(u.ru_utime + u.ru_stime for u in used)
    print(json.dumps({"cpu": cpu, "read": read, "whole": whole, "peak": peak, "moves": moves,
                      "digest": digest.hexdigest()[:16],
                      "steps": log.steps, "tables": repr(tally), "refused": tally.refused}))
if __name__ == "__main__":
    main()
"""


def pair(row: np.ndarray) -> np.ndarray:
    """The local pair of row = step * AGENTS + agent: a hash, so that any part of the log can be made alone."""
    h = (row.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    return ((h ^ (h >> np.uint64(27))) >> np.uint64(40)).astype(np.int64) % PAIRS


def write(folder: Path, rows: int) -> None:
    """Files of `FILE` rows; file f of F has every F-th row of the log, shuffled."""
    import duckdb

    files = -(-rows // FILE)
    for f in range(files):
        row = np.random.default_rng(f).permutation(np.arange(f, rows, files))
        step, agent = np.divmod(row, AGENTS)
        x = pair(row)
        frame = {
            "episode": (step // EPISODE).astype(np.int32), "t": (step % EPISODE).astype(np.int32),
            "agent": agent.astype(np.int32), "state": (x // ACTIONS).astype(np.int32),
            "action": (x % ACTIONS).astype(np.int32), "reward": x * 0.5,
        }  # fmt: skip
        con = duckdb.connect()
        con.register("frame", frame)
        con.execute(f"COPY frame TO '{folder}/part-{f:03d}.parquet' (FORMAT parquet)")
        con.close()


def truth(rows: int) -> np.ndarray:
    """(agents, m, m) moves by a plain loop over stretches of steps."""
    found = np.zeros((AGENTS, PAIRS * PAIRS), dtype=np.int64)
    steps, size = rows // AGENTS, 100 * EPISODE
    for lo in range(0, steps, size):
        step = np.arange(lo, min(lo + size, steps))
        x = pair(step[:, None] * AGENTS + np.arange(AGENTS))
        same = step[1:] // EPISODE == step[:-1] // EPISODE
        for i in range(AGENTS):
            code = x[:-1, i][same] * PAIRS + x[1:, i][same]
            found[i] += np.bincount(code, minlength=PAIRS * PAIRS)
    return found.reshape(AGENTS, PAIRS, PAIRS)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", nargs="?", type=float, default=1e7)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    rows = int(given.rows)
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch) / "log"
        if not folder.exists():
            folder.mkdir(parents=True)
            write(folder, rows)
        script = Path(scratch) / "child.py"
        script.write_text(CHILD)
        begin = time.perf_counter()
        command = [sys.executable, str(script), str(folder / "*.parquet"), str(given.workers)]
        said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        process = time.perf_counter() - begin
    right = bool((np.array(said.pop("moves")) == truth(rows)).all())
    print(f"{rows:.0e} rows, {given.workers} workers: {said['whole']:.1f} s (reading {said['read']:.1f} s; process "
          f"{process:.1f} s, CPU {said['cpu']:.1f} s), peak {said['peak']:.0f} MB, counts right: {right}, "
          f"digest {said['digest']}")  # fmt: skip
    print(f"  {said['steps']:,} steps; {said['tables']} {said['refused']}")


if __name__ == "__main__":
    main()
