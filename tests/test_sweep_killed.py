"""The bar: 200 cells on two workers; workers killed with -9 at random instants, then the whole run; nothing is lost.

Each computation writes its moment into a file of its cell, so that what was computed after it was journalled is seen.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import markov_entanglement as me

pytestmark = pytest.mark.slow

#: Cells, and kills.
MANY, KILLS = 200, 10
POISON = 77


def work(n: int, folder: str, rng: np.random.Generator) -> dict[str, float]:
    """A fortieth of a second; who meets the poison, where it was laid, dies of it."""
    with (Path(folder) / f"{n}.begun").open("a") as file:
        file.write(f"{time.time()}\n")
    time.sleep(0.025)
    if n == POISON and (Path(folder) / "poison").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return {"n_cubed": float(n) ** 3, "drawn": float(rng.normal())}


def grid(folder: Path) -> dict[str, Any]:
    return {"n": list(range(MANY)), "folder": str(folder)}


def begun(folder: Path) -> dict[int, list[float]]:
    return {int(f.stem): [float(x) for x in f.read_text().split()] for f in folder.glob("*.begun")}


def table(found: me.Sweep, folder: Path) -> bytes:
    found.save_csv(folder / "out.csv")
    return (folder / "out.csv").read_bytes()


def children() -> list[psutil.Process]:
    """Worker processes of this one."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize("runner", ["dask", "processes"])
def test_workers_killed_at_random_instants(runner: str, tmp_path: Path) -> None:
    """Ten times -9, and one cell that kills whoever meets it."""
    pytest.importorskip("distributed")
    store, chance = tmp_path / "s.jsonl", random.Random(12)
    right = table(me.sweep(work, grid(tmp_path), seed=4), tmp_path)
    for f in tmp_path.glob("*.begun"):
        f.unlink()
    (tmp_path / "poison").touch()
    journalled: dict[int, float] = {}
    killed: list[int] = []
    over = threading.Event()

    def kill() -> None:
        while len(killed) < KILLS and not over.wait(chance.uniform(0.05, 1.0)):
            if len(journalled) > 3 and (some := children()):
                victim = chance.choice(some)
                victim.kill()
                killed.append(victim.pid)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        for row in me.sweep_rows(work, grid(tmp_path), seed=4, store=store, runner=runner, workers=2):
            journalled[row["n"]] = time.time()
    finally:
        over.set()
        killer.join()
    assert len(killed) == KILLS and len(journalled) == MANY
    times = begun(tmp_path)
    assert sum(map(len, times.values())) > MANY, "nobody was killed while it worked"
    late = {n for n, t in times.items() if n != POISON and max(t) > journalled[n]}
    assert not late, "computed again after it was journalled"
    found = me.sweep(work, grid(tmp_path), seed=4, store=store, resume=True)
    assert begun(tmp_path) == times
    lost = [x.at["n"] for x in found.cells if x.failed is not None]
    assert lost == [POISON] and "its worker died whenever it was tried" in str(found.cells[POISON].failed)
    (tmp_path / "poison").unlink()
    mended = me.sweep(work, grid(tmp_path), seed=4, store=store, resume=True, retry=True)
    assert table(mended, tmp_path) == right
    assert {n for n, t in begun(tmp_path).items() if len(t) > len(times[n])} == {POISON}


SCRIPT = """
    import sys
    sys.path[:0] = {path!r}
    import markov_entanglement as me
    from test_sweep_killed import grid, table, work
    from pathlib import Path

    if __name__ == "__main__":
        folder = Path({folder!r})
        store = folder / "s.jsonl"
        table(me.sweep(work, grid(folder), seed=4, store=store, runner={runner!r}, workers=2, resume=True), folder)
"""


@pytest.mark.parametrize("runner", ["dask", "processes"])
def test_the_whole_run_killed_and_resumed(runner: str, tmp_path: Path) -> None:
    """-9 to the run itself, at random instants, until it ends; what was in the journal is never computed again."""
    pytest.importorskip("distributed")
    right, chance = me.sweep(work, grid(tmp_path), seed=4), random.Random(3)
    for f in tmp_path.glob("*.begun"):
        f.unlink()
    script, store = tmp_path / "script.py", tmp_path / "s.jsonl"
    script.write_text(
        textwrap.dedent(SCRIPT).format(path=[str(Path(__file__).parent)], folder=str(tmp_path), runner=runner)
    )
    known: dict[int, int] = {}
    for stop in (60, 140, None):
        with subprocess.Popen([sys.executable, script]) as run:
            while stop is not None and run.poll() is None and lines(store) < stop:
                time.sleep(0.005)
            if stop is not None:
                time.sleep(chance.uniform(0.0, 0.1))
                run.kill()
            run.wait(timeout=120)
        assert (run.returncode == 0) == (stop is None)
        time.sleep(0.5)  # workers that were left alone end what they are at
        done = [
            json.loads(x)["cell"] for x in store.read_text().splitlines(keepends=True)[1:] if x.endswith("\n")
        ]
        assert len(set(done)) == len(done), "a cell twice in the journal"
        times = begun(tmp_path)
        assert all(len(times[n]) == count for n, count in known.items()), (
            "computed again after it was journalled"
        )
        known = {n: len(times[n]) for n in done}
    assert len(known) == MANY and (tmp_path / "out.csv").read_bytes() == table(right, tmp_path)


def lines(store: Path) -> int:
    return store.read_bytes().count(b"\n") if store.exists() else 0


def _heard() -> None:
    """As in a terminal: what a shell starts in the background ignores interrupts, and so do its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("runner", ["dask", "processes", "threads"])
def test_an_interrupt_is_one_message(runner: str, tmp_path: Path) -> None:
    """Ctrl-C in a terminal reaches all processes of the command."""
    (tmp_path / "grid.toml").write_text(f'schema = 1\nkind = "sweep"\n[grid]\nn = {list(range(MANY))}\n')
    (tmp_path / "naps.py").write_text("import time\n\ndef nap(n):\n    time.sleep(0.2)\n    return n\n")
    store = tmp_path / "s.jsonl"
    words = [
        "sweep",
        "grid.toml",
        "--work",
        "naps:nap",
        "--runner",
        runner,
        "--workers",
        "2",
        "--store",
        store.name,
    ]
    with subprocess.Popen([sys.executable, "-m", "markov_entanglement", *words], cwd=tmp_path, text=True,
                          start_new_session=True, stderr=subprocess.PIPE, preexec_fn=_heard) as run:  # fmt: skip
        while run.poll() is None and lines(store) < 5:
            time.sleep(0.01)
        os.killpg(run.pid, signal.SIGINT)
        said = run.communicate(timeout=60)[1]
    assert run.returncode == 130
    assert said.splitlines() == [
        f"go on with: markov-entanglement {' '.join(words)} --resume", f"interrupted; saved: {store.name}",
    ]  # fmt: skip
