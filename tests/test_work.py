"""Runners of cells: one protocol; a worker that dies, at whatever moment, costs its cell and no other."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from markov_entanglement import _runners
from markov_entanglement._progress import watched
from markov_entanglement._runners import Dask, Died, Failed, Processes, Runner, Serial, Threads, runner_of
from markov_entanglement.errors import InvalidInput, NoConvergence, TooLarge

RUNNERS: dict[str, Runner] = {
    "serial": Serial(), "threads": Threads(2), "processes": Processes(2), "dask": Dask(None, 2),
}  # fmt: skip
DYING = ["processes", "dask"]


def square(k: int, folder: str, deadly: int) -> int:
    """k^2; the first that meets a deadly cell dies of it, -1: whoever meets one."""
    mark = Path(folder) / f"{k}.met"
    if k == abs(deadly) and (deadly < 0 or not mark.exists()):
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return k * k


def slowly(k: int) -> bytes:
    time.sleep(0.02)
    return bytes([k]) * 10**6


def picky(k: int) -> int:
    if k % 3 == 0:
        raise InvalidInput("k", str(k), "no multiples of three", "Take another.")
    return k


def lambdas(k: int) -> Any:
    return lambda: k


@pytest.mark.parametrize("name", RUNNERS)
def test_every_runner_gives_each_cell_its_result_or_its_error(name: str) -> None:
    told: list[float] = []
    with watched(lambda share, what: told.append(share)):
        found = dict(RUNNERS[name].run(picky, lambda k: (k,), range(7)))
    errors = {k: found.pop(k) for k in (0, 3, 6)}
    assert found == {k: k for k in (1, 2, 4, 5)} and told == sorted(told) and len(told) > 4
    assert {k: str(x.error) for k, x in errors.items() if isinstance(x, Failed)} == {
        k: f"k: got {k}; no multiples of three. Take another." for k in (0, 3, 6)
    }


@pytest.mark.parametrize("name", RUNNERS)
def test_whoever_stops_iterating_stops_the_work(name: str) -> None:
    begun: list[int] = []

    def ask(k: int) -> tuple[int]:
        begun.append(k)
        return (k,)

    rows: Iterator[Any] = iter(RUNNERS[name].run(slowly, ask, range(100)))
    next(rows)
    rows.close()  # type: ignore[attr-defined]
    assert 1 <= len(begun) <= 5


@pytest.mark.parametrize("name", DYING)
def test_a_cell_that_kills_its_worker_once_is_done_by_another(name: str, tmp_path: Path) -> None:
    found = dict(RUNNERS[name].run(square, lambda k: (k, str(tmp_path), 3), range(12)))
    assert found == {k: k * k for k in range(12)} and (tmp_path / "3.met").exists()


@pytest.mark.parametrize("name", DYING)
def test_a_cell_that_kills_whoever_meets_it_fails_and_no_other_does(name: str, tmp_path: Path) -> None:
    found = dict(RUNNERS[name].run(square, lambda k: (k, str(tmp_path), -3), range(12)))
    lost = found.pop(3)
    assert isinstance(lost, Failed) and isinstance(lost.error, Died)
    assert found == {k: k * k for k in range(12) if k != 3}


@pytest.mark.parametrize("after", [0.0, 0.4, 0.7, 0.9, 1.1, 1.3])
def test_workers_killed_while_they_answer(after: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that dies with an answer of a megabyte half sent."""
    made: list[Any] = []
    real = _runners._Worker.__init__

    def noted(self: Any) -> None:
        real(self)
        made.append(self.process)

    monkeypatch.setattr(_runners._Worker, "__init__", noted)
    killer = threading.Timer(after, lambda: made and made[0].kill())
    killer.start()
    found = dict(Processes(2).run(slowly, lambda k: (k,), range(40)))
    killer.cancel()
    assert all(found[k] == bytes([k]) * 10**6 for k in range(40))
    assert not any(p.is_alive() for p in made)


def test_what_cannot_be_sent_is_told() -> None:
    with pytest.raises(InvalidInput, match="top level of a module") as said:
        list(Processes(2).run(lambda k: k, lambda k: (k,), range(3)))
    assert "threads" in str(said.value)
    assert dict(Threads(2).run(lambda k: k, lambda k: (k,), range(3))) == {k: k for k in range(3)}
    (_, lost), *_ = Processes(1).run(lambdas, lambda k: (k,), range(1))
    assert isinstance(lost, Failed) and "lambda" in str(lost.error)


@pytest.mark.parametrize("runner", ["processes", "dask"])
def test_a_script_without_its_guard_is_told(runner: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    call = f"print(dict(runner_of({runner!r}, 1).run(abs, lambda k: (k,), range(3))))"
    start = "from markov_entanglement._runners import runner_of\n"
    script.write_text(f"{start}{call}\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "Start it under: if __name__ == '__main__':" in done.stderr
    script.write_text(f"{start}if __name__ == '__main__':\n    {call}\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout == "{0: 0, 1: 1, 2: 2}\n" or sorted(done.stdout) == sorted("{0: 0, 1: 1, 2: 2}\n")


def test_runners_by_name() -> None:
    assert runner_of("serial", None) == Serial() and runner_of("threads", 3) == Threads(3)
    assert runner_of("tcp://10.0.0.1:8786", 3) == Dask("tcp://10.0.0.1:8786", 3)
    with pytest.raises(InvalidInput, match="'processes'"):
        runner_of("proceses", None)
    with pytest.raises(InvalidInput, match="dask scheduler"):
        runner_of(3, None)
    with pytest.raises(InvalidInput, match="Start one: dask scheduler"):
        list(runner_of("tcp://127.0.0.1:9", None).run(abs, lambda k: (k,), range(2)))


def test_errors_come_out_of_another_process_as_they_went_in() -> None:
    for error in (
        InvalidInput("a", "b", "c", "d"),
        TooLarge("a", "b", "c", "d"),
        NoConvergence("a", [1], 0.1),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error) and str(again) == str(error) and vars(again) == vars(error)
