"""Runs the examples of the pages: every block in its order, one namespace and one fresh folder a page.

`python website/execute.py PAGE...` runs pages alone and says which block fails, by page and line.

A block of `python` is run; what it prints and its last value are shown below it. A block of `>>>` is a doctest. Of a
block of `console` or `sh` lines that start with `markov-entanglement` are run. A block whose first line is
`# not run: REASON` is shown, not run. The folder holds a copy of `examples/`.
"""

from __future__ import annotations

import ast
import doctest
import json
import multiprocessing
import multiprocessing.reduction
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
COMMAND = "markov-entanglement"
NOT_RUN = "# not run:"
#: A page that takes longer is stopped, seconds.
PATIENCE = 600
#: Blocks that take longer are told where pages run alone, seconds.
SLOW = 2.0
_BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^(?P=indent)```[ ]*$", re.S | re.M
)
DIRECTIVE = re.compile(r"[ ]*# doctest:.*")
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; `line` is that of its first line of code."""

    start: int
    end: int
    line: int
    indent: str
    language: str
    code: str

    @property
    def kind(self) -> str:
        """How it is run: "python", "doctest", "shell", "left" (said not to be run), "" (nothing to run)."""
        if self.language in ("python", "pycon", "py", "console", "sh", "bash") and self.code.startswith(
            NOT_RUN
        ):
            return "left"
        if self.language in ("python", "pycon", "py"):
            return "doctest" if self.code.lstrip().startswith(">>>") else "python"
        if self.language in ("console", "sh", "bash"):
            return "shell"
        return ""


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page in their order."""
    found = []
    for m in _BLOCK.finditer(text):
        code = re.sub(f"^{m['indent']}", "", m["code"], flags=re.M)
        line = text.count("\n", 0, m.start("code")) + 1
        found.append(Block(m.start(), m.end(), line, m["indent"], m["language"], code))
    return found


class Failed(Exception):
    """A block that fails: page, line and what happened."""


def run_here(name: str, text: str, slow: list[str]) -> list[dict[str, str]]:
    """What each block of a page shows (`text`, `html`), run in the present folder."""
    space: dict[str, Any] = {"__name__": "__main__"}
    shown = []
    for block in blocks(text):
        run = {"python": _python, "doctest": _doctest, "shell": _shell}.get(block.kind)
        start = time.monotonic()
        try:
            shown.append({} if run is None else run(block, space))
        except Exception as error:
            line = block.line
            if block.kind == "python":
                inside = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == _NAME]
                line += (inside[-1] or 1) - 1 if inside else 0
            raise Failed(f"{name}:{line}: {type(error).__name__}: {error}") from error
        if (seconds := time.monotonic() - start) > SLOW:
            slow.append(f"{name}:{block.line}: {seconds:.1f} s")
    return shown


_NAME = "<page>"


def _python(block: Block, space: dict[str, Any]) -> dict[str, str]:
    tree = ast.parse(block.code, _NAME)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    value = None
    with tempfile.TemporaryFile("w+", encoding="utf-8") as file, _Standard(file) as said:
        exec(compile(tree, _NAME, "exec"), space)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), _NAME, "eval"), space)
    return _show(_COLOURS.sub("", said.text), value)


class _Standard:
    """Standard output, that of libraries written in C included, goes to a file; `text` when it is over."""

    text = ""

    def __init__(self, out: Any) -> None:
        self.out = out

    def __enter__(self) -> _Standard:
        sys.stdout.flush()
        self.python, self.kept = sys.stdout, os.dup(1)
        os.dup2(self.out.fileno(), 1)
        sys.stdout = self.out
        return self

    def __exit__(self, *_: object) -> None:
        self.out.flush()
        sys.stdout = self.python
        os.dup2(self.kept, 1)
        os.close(self.kept)
        self.out.seek(0)
        self.text = self.out.read()


def _show(text: str, value: Any) -> dict[str, str]:
    """What a value looks like below its block: a picture, a card, or its line."""
    shown = {"text": text} if text.strip() else {}
    if value is None:
        return shown
    axes = getattr(value, "figure", None)
    figure = value if hasattr(value, "savefig") else axes if hasattr(axes, "savefig") else None
    if figure is not None:
        return shown | {"html": _svg(figure)}
    if hasattr(value, "_repr_html_") and type(value).__module__.startswith("markov_entanglement"):
        return shown | {"html": f'<div class="shown card">{value._repr_html_()}</div>'}
    return shown | {"text": shown.get("text", "") + f"{value!r}\n"}


def _svg(figure: Any) -> str:
    import base64
    import io

    import matplotlib as mpl

    with io.BytesIO() as file, mpl.rc_context({"svg.hashsalt": "site"}):
        figure.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None})
        data = base64.b64encode(file.getvalue()).decode()
    return f'<p class="shown picture"><img alt="What this draws" src="data:image/svg+xml;base64,{data}"></p>'


def _doctest(block: Block, space: dict[str, Any]) -> dict[str, str]:
    test = doctest.DocTestParser().get_doctest(block.code, space, _NAME, _NAME, 0)
    said: list[str] = []
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    done = doctest.DocTestRunner(verbose=False, optionflags=flags).run(
        test, out=said.append, clear_globs=False
    )
    if done.failed:
        raise AssertionError("".join(said))
    space.update(test.globs)
    return {}


def _shell(block: Block, space: dict[str, Any]) -> dict[str, str]:
    text = ""
    for line in re.sub(r"\\\n", " ", block.code).splitlines():
        if line.startswith(COMMAND):
            text += _command(line)
    return {"text": text} if text.strip() else {}


def _command(line: str) -> str:
    """What a command prints, run in a process of its own that need not import the library afresh."""
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as out,
        tempfile.TemporaryFile("w+", encoding="utf-8") as err,
    ):
        files = [multiprocessing.reduction.DupFd(f.fileno()) for f in (out, err)]
        process = _FORKS.Process(target=_call, args=(str(Path.cwd()), shlex.split(line), *files))
        process.start()
        process.join()
        out.seek(0), err.seek(0)
        text = out.read()
        if process.exitcode:
            raise RuntimeError(f"{line}\n{text[-500:]}{err.read()[-1500:]}")
    return text


def _call(folder: str, words: list[str], out: Any, err: Any) -> None:
    from markov_entanglement.cli.app import run

    os.chdir(folder)
    sys.path.insert(0, "")
    for number, file in ((1, out), (2, err)):
        os.dup2(file.detach(), number)
    sys.argv = words
    run()


#: Processes that have imported what examples use; nothing was computed in them.
_FORKS = multiprocessing.get_context("forkserver")
_PRELOADED = [
    "markov_entanglement.cli.app",
    "markov_entanglement.analysis.analyze",
    "matplotlib.pyplot",
    "gymnasium",
]

#: No colours, lines of 100, and the commands of the Python that runs this.
ENVIRON = os.environ | {
    "COLUMNS": "100",
    "NO_COLOR": "1",
    "TERM": "dumb",
    "MPLBACKEND": "svg",
    "OPENBLAS_NUM_THREADS": "1",
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
}


def run_page(name: str, text: str, tell: bool = False) -> list[dict[str, str]]:
    """The same in a process and a fresh folder of its own. Raises `Failed`."""
    found = blocks(text)
    if all(block.kind in ("", "left") for block in found):
        return [{} for _ in found]
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(
            ROOT / "examples", Path(folder, "examples"), ignore=shutil.ignore_patterns("__pycache__")
        )
        ours, theirs = _FORKS.Pipe(duplex=False)
        process = _FORKS.Process(target=_page, args=(folder, name, text, theirs))
        process.start()
        theirs.close()
        try:
            if not ours.poll(PATIENCE):
                process.kill()
                raise Failed(f"{name}: takes more than {PATIENCE} s")
            shown, slow = ours.recv()
        except EOFError:
            shown, slow = f"{name}: its process ended", []
        process.join()
    if tell:
        print("\n".join(slow), file=sys.stderr)
    if isinstance(shown, str):
        raise Failed(shown)
    return shown


def _page(folder: str, name: str, text: str, pipe: Any) -> None:
    import matplotlib as mpl

    os.chdir(folder)
    sys.path.insert(0, "")
    mpl.rcParams["figure.figsize"] = (6.4, 4.0)
    slow: list[str] = []
    try:
        pipe.send((run_here(name, text, slow), slow))
    except Failed as error:
        pipe.send((str(error), slow))


def run_pages(pages: dict[str, str]) -> Iterator[tuple[str, list[dict[str, str]] | str]]:
    """Pages by name as they are done, as many at a time as there are cores: what blocks show, or how they fail."""

    def one(name: str) -> list[dict[str, str]] | str:
        try:
            return run_page(name, pages[name])
        except Failed as error:
            return str(error)

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        tasks = {pool.submit(one, name): name for name in pages}
        for task in as_completed(tasks):
            yield tasks[task], task.result()


def in_a_process(pages: dict[str, str]) -> dict[str, Future[list[dict[str, str]]]]:
    """`run_pages` beside this process: page -> what its blocks will show."""
    waiting: dict[str, Future[list[dict[str, str]]]] = {name: Future() for name in pages}
    call = [sys.executable, __file__, "--pages"]
    runner = subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRON)

    def wait() -> None:
        assert runner.stdin is not None and runner.stdout is not None
        with runner.stdin as pipe:
            json.dump(pages, pipe)
        for line in runner.stdout:
            name, shown = json.loads(line)
            if isinstance(shown, str):
                waiting[name].set_exception(Failed(shown))
            else:
                waiting[name].set_result(shown)
        for name, page in waiting.items():
            if not page.done():
                page.set_exception(Failed(f"{name}: what runs pages ended with {runner.wait()}"))

    threading.Thread(target=wait, daemon=True).start()
    return waiting


def woven(text: str, shown: list[dict[str, str]]) -> str:
    """The page with what its blocks show below them."""
    out, at = "", 0
    for block, below in zip(blocks(text), shown, strict=True):
        out += text[at : block.start] + _fence(block)
        at = block.end
        if "text" in below:
            said = below["text"].strip("\n")
            kind = ".text .shown" if "\n" in said else ".text .shown .line"
            out += _indented(f"\n\n``` {{ {kind} }}\n{said}\n```\n", block.indent)
        if "html" in below:
            out += f"\n\n{_indented(below['html'], block.indent)}\n"
    return out + text[at:]


def _fence(block: Block) -> str:
    """The block as it is shown: a doctest as a session, without directives."""
    code, language = block.code.rstrip("\n"), block.language
    if block.kind == "doctest":
        code, language = DIRECTIVE.sub("", code), "pycon"
    elif block.kind == "shell":
        language = "sh"
    elif block.kind == "left":
        code = f"#{code.split(':', 1)[1]}"
    return _indented(f"```{language}\n{code}\n```", block.indent)


def _indented(text: str, indent: str) -> str:
    return re.sub(r"^(?=.)", indent, text, flags=re.M)


def _main(arguments: list[str]) -> int:
    os.environ.update(ENVIRON)
    _FORKS.set_forkserver_preload(_PRELOADED)
    if arguments == ["--pages"]:
        for done in run_pages(json.load(sys.stdin)):
            print(json.dumps(done), flush=True)
        return 0
    failed = 0
    for page in map(Path, arguments):
        text, start = page.read_text(encoding="utf-8"), time.monotonic()
        try:
            print(woven(text, run_page(page.name, text, tell=True)))
            print(f"{page.name}: {time.monotonic() - start:.1f} s", file=sys.stderr)
        except Failed as error:
            print(error, file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
