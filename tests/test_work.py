"""Processes that share nothing: one that dies, at whatever moment, costs its cell and no other."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from markov_entanglement._work import Died, in_processes


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


def fails(k: int) -> int:
    raise KeyError(k)


def test_a_cell_that_kills_its_worker_once_is_done_by_another(tmp_path: Path) -> None:
    found = dict(in_processes(square, lambda k: (k, str(tmp_path), 3), range(12), 2, deaths=5))
    assert found == {k: k * k for k in range(12)} and (tmp_path / "3.met").exists()


def test_a_cell_that_kills_whoever_meets_it_ends_the_work_and_the_rest_is_done(tmp_path: Path) -> None:
    found: dict[int, int] = {}
    with pytest.raises(Died) as said:
        for k, value in in_processes(square, lambda k: (k, str(tmp_path), -3), range(12), 2, deaths=4):
            found[k] = value
    assert 3 not in found and len(found) + said.value.left == 12


def test_an_error_is_the_callers(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        list(in_processes(fails, lambda k: (k,), range(3), 2, deaths=2))


@pytest.mark.parametrize("after", [0.0, 0.4, 0.7, 0.9, 1.1, 1.3])
def test_workers_killed_while_they_answer(after: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that dies with an answer of a megabyte half sent."""
    import threading

    from markov_entanglement import _work

    made: list[Any] = []
    real = _work._Worker.__init__

    def noted(self: Any) -> None:
        real(self)
        made.append(self.process)

    monkeypatch.setattr(_work._Worker, "__init__", noted)
    killer = threading.Timer(after, lambda: made and made[0].kill())
    killer.start()
    found = dict(in_processes(slowly, lambda k: (k,), range(40), 2, deaths=5))
    killer.cancel()
    assert all(found[k] == bytes([k]) * 10**6 for k in range(40))
    assert not any(p.is_alive() for p in made)
