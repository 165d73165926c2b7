"""Shares of long work: told to a callback, shown where a person looks, silent elsewhere."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import pytest

import markov_entanglement as me
from markov_entanglement import _progress
from markov_entanglement._progress import advance, stage, watched
from markov_entanglement.errors import InvalidInput


class Log(list):
    """A callback that keeps what it is told."""

    def __call__(self, share: float, what: str) -> None:
        self.append((share, what))

    @property
    def shares(self) -> list[float]:
        return [share for share, _ in self]


def test_stages_split_the_whole() -> None:
    log = Log()
    with watched(log, "all"):
        with stage("first", 0.0, 0.5), stage("", 0.5, 1.0):
            advance(0.5)
        with stage("second", 0.5, 1.0):
            advance(0.2)
            advance(0.1)  # never falls
    assert log == [
        (0.0, "all"), (0.0, "first"), (0.25, "first"), (0.375, "first"), (0.5, "first"), (0.5, "first"),
        (0.5, "second"), (0.6, "second"), (0.6, "second"), (1.0, "second"), (1.0, "all"),
    ]  # fmt: skip
    advance(0.5)  # nobody watches
    assert len(log) == 11


def test_outer_work_hears_of_inner_work() -> None:
    outer, inner = Log(), Log()
    with watched(outer):
        with stage("a", 0.0, 0.5), watched(None, "b"):
            advance(0.5)
        with watched(inner):
            advance(0.5)
        with watched(False):
            advance(0.9)
    assert outer.shares == [0.0, 0.0, 0.25, 0.5, 1.0] and inner.shares == [0.0, 0.5, 1.0]
    failed = Log()
    with pytest.raises(ZeroDivisionError), watched(failed):
        raise ZeroDivisionError
    assert failed.shares == [0.0]


SYSTEM = me.gallery.build("circulant", n_arms=3, budget=1).system
LARGE = me.gallery.build("circulant-bandit", n_arms=3000)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (
            lambda p: me.analyze(SYSTEM, "uniform", progress=p),
            ("entanglement by mu-atv", "separability", "values"),
        ),
        (
            lambda p: me.compare({"a": "uniform", "b": "myopic"}, SYSTEM, progress=p),
            ("a: values", "b: entanglement"),
        ),
        (lambda p: me.estimate_error(LARGE.system, LARGE.policy, rng=0, starts=100, progress=p), ()),
        (lambda p: me.estimate_entanglement(LARGE.system, LARGE.policy, rng=0, steps=2000, progress=p), ()),
        (lambda p: me.mean_field(LARGE.system, LARGE.policy, progress=p), ()),
    ],
    ids=["analyze", "compare", "error", "entanglement", "mean field"],
)
def test_long_functions_tell(ask, words) -> None:
    log = Log()
    ask(log)
    assert log.shares == sorted(log.shares) and log.shares[0] == 0.0 and log.shares[-1] == 1.0
    assert set(words) <= {what for _, what in log}
    assert ask(lambda *_: None) is not None and ask(False) is not None
    with pytest.raises(InvalidInput, match=r"^progress: got 3; it must be a function"):
        ask(3)


def test_reproduce_tells(tmp_path: Path) -> None:
    log = Log()
    me.reproduce("figure3", out=tmp_path, quick=True, progress=log)
    assert log.shares == sorted(log.shares) and len(set(log.shares)) > 3 and log[-1][0] == 1.0


def test_a_callback_may_stop_the_work() -> None:
    def stop(share: float, what: str) -> None:
        if share > 0.3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        me.analyze(SYSTEM, "uniform", progress=stop)
    with watched(log := Log()):  # nothing is left behind
        pass
    assert log.shares == [0.0, 1.0]


# --- what a person sees ------------------------------------------------------------------------------------

WORK = """
import sys, time
from markov_entanglement import _progress as p
p._PATIENCE = {patience}
print("out")
with p.watched(None, "brooding"):
    for k in range(8):
        with p.stage("egg", k / 8, (k + 1) / 8):
            time.sleep(0.1)
print("done")
"""


def on_terminal(patience: float) -> str:
    """Standard error of the work, as a terminal gets it; standard output is looked at too."""
    mine, theirs = pty.openpty()
    env = os.environ | {"PYTHONPATH": str(Path(me.__file__).parents[1]), "TERM": "xterm", "COLUMNS": "100"}
    command = [sys.executable, "-c", WORK.format(patience=patience)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=env, text=True) as job:
        os.close(theirs)
        seen = b""
        try:
            while part := os.read(mine, 4096):
                seen += part
        except OSError:  # the end, on Linux
            pass
        os.close(mine)
        assert job.stdout is not None and job.stdout.read() == "out\ndone\n"
    return seen.decode()


def test_a_terminal_gets_a_bar() -> None:
    seen = on_terminal(0.1)
    assert "egg" in seen and "%" in seen and "left" in seen
    assert on_terminal(60) == ""  # short work shows nothing


def test_no_terminal_gets_nothing(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_progress, "_PATIENCE", 0.0)
    before = threading.active_count()
    with watched(None, "work"):
        assert threading.active_count() == before
        time.sleep(0.05)
    assert capfd.readouterr() == ("", "")


def test_a_notebook_gets_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As in a kernel of IPython, whose standard error is no terminal."""
    kernel = type("ZMQInteractiveShell", (), {})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=kernel))
    monkeypatch.setattr(_progress, "_PATIENCE", 0.0)
    monkeypatch.setattr(_progress, "_TICK", 0.01)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with watched(None, "work"), stage("half", 0.0, 0.5):
        time.sleep(0.1)
        advance(1.0)
        time.sleep(0.08)
    lines = sys.stderr.getvalue().split("\r")
    assert any(line.startswith(" 50%|##########          | 0:00, about 0:00 left half") for line in lines)
    assert lines[-1] == "" and not lines[-2].strip()  # nothing stays behind
    assert capsys.readouterr().out == ""


def test_times() -> None:
    assert [_progress._clock(s) for s in (0, 59.6, 61, 3661)] == ["0:00", "1:00", "1:01", "1:01:01"]
