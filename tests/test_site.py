"""The site: what runs pages, what makes and checks links, and the built site in a browser without a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import markov_entanglement as me

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "website"))

import check  # noqa: E402
import execute  # noqa: E402
import links  # noqa: E402
import reference  # noqa: E402

PAGES = sorted((ROOT / "docs").rglob("*.md"))
SITE = ROOT / "site"


def ran(text: str) -> list[dict[str, str]]:
    """What the blocks of a page show."""
    return execute.run_here("page.md", text, [])


def test_blocks_run_in_order_and_show_what_they_print_and_their_value(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = (
        "```python\nx = 2\nprint('two')\nx\n```",
        "```python\nx * 3\n```",
        "```pycon\n>>> x\n2\n>>> y = x\n```",
    )
    page = "\n\ntext\n\n".join([*blocks, "```python\ny\nNone\n```"])
    assert ran(page) == [{"text": "two\n2\n"}, {"text": "6\n"}, {}, {}]


@pytest.mark.parametrize(
    ("block", "line", "what"),
    [
        ("```python\nx = 1\n1 / 0\n```", 4, "ZeroDivisionError"),
        ("```python\ndef f():\n    raise KeyError('k')\nf()\n```", 4, "KeyError"),
        ("```pycon\n>>> 1 + 1\n3\n```", 3, "Expected"),
        ("```python\nx = (\n```", 3, "SyntaxError"),
    ],
)
def test_a_block_that_fails_is_named_by_page_and_line(tmp_path, monkeypatch, block, line, what):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(execute.Failed, match=what) as failed:
        ran(f"a\n{block}\n")
    assert str(failed.value).startswith(f"page.md:{line}:")


def test_what_values_look_like(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = "```python\nimport markov_entanglement as me\nchain = me.gallery.build('appendix-e').chain()\n"
    page += "found = me.entanglement(chain, 'atv')\nfound\n```\n```python\nfound.plot()\n```"
    card, picture = ran(page)
    assert "0.4" in card["html"] and 'class="shown card"' in card["html"]
    assert "data:image/svg+xml" in picture["html"]


def test_the_page_is_woven_and_stays_plain():
    page = "a\n\n```python\n>>> 1  # doctest: +SKIP\n1\n```\n\n```sh\n# not run: needs a network\nls\n```\n\n"
    page += "```python\n2\n```\nb\n"
    assert [b.kind for b in execute.blocks(page)] == ["doctest", "left", "python"]
    out = execute.woven(page, [{}, {}, {"text": "2\n"}])
    assert "```pycon\n>>> 1\n1\n```" in out and "```sh\n# needs a network\nls\n```" in out
    assert "```python\n2\n```\n\n``` { .text .shown .line }\n2\n```\n" in out and out.endswith("b\n")


def test_commands_are_run_and_shown():
    page = "```sh\nmarkov-entanglement gallery show parity\n```\n"
    (shown,) = execute.run_page("page.md", page)
    assert "Entangled by definition" in shown["text"]
    with pytest.raises(execute.Failed, match=r"(?s)page.md:2: .*circulant"):
        execute.run_page("page.md", page.replace("parity", "circulan"))


def test_few_blocks_are_left_out():
    """Each says why; the list is short and known."""
    left = [
        f"{page.relative_to(ROOT / 'docs')}: {b.code.splitlines()[0].removeprefix(execute.NOT_RUN).strip()}"
        for page in PAGES
        for b in execute.blocks(page.read_text(encoding="utf-8"))
        if b.kind == "left"
    ]
    assert len(left) <= 5, left


def test_pages_are_plain_markdown():
    """Nothing that other builders of sites do not read, but for admonitions and a frame around a list."""
    for page in PAGES:
        text = re.sub(r"^( *)```.*?^\1```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
        assert not re.search(r"^(:::|\{%|--8<--|=== )", text, re.M), page
        assert set(re.findall(r"^<(\w+)", text, re.M)) <= {"div"}, page


@pytest.mark.parametrize(
    ("code", "page", "goal"),
    [
        ("me.analyze(log, views=True)", "logs.md", "reference/analysis.html#markov_entanglement.analyze"),
        ("me.gallery.build(ID)", "logs.md", "reference/studies.html#markov_entanglement.gallery.build"),
        ("IndexPolicy", "logs.md", "reference/systems.html#markov_entanglement.IndexPolicy"),
        ("InvalidInput", "logs.md", "reference/errors.html#markov_entanglement.errors.InvalidInput"),
        ("certificate", "results.md", None),  # a key of the JSON, a kind of picture
        ("certificate", "theory.md", "reference/values.html#markov_entanglement.certificate"),
        ("error_budget", "reference/values.md", "reference/values.html#markov_entanglement.error_budget"),
        ("tests/test_site.py", "theory.md", "source/tests/test_site.html"),
        ("markov/build.py", "architecture.md", "source/src/markov_entanglement/markov/build.html"),
        (
            "markov_entanglement.values.bounds",
            "theory.md",
            "source/src/markov_entanglement/values/bounds.html",
        ),
        ("parity", "theory.md", "gallery.html#parity"),
        ("numpy.array", "theory.md", None),
    ],
)
def test_where_names_lead(code, page, goal):
    assert links.target(code, page) == goal


def test_links_are_made_of_words_in_code_alone():
    text = "<pre><code>me.analyze</code></pre> <a href='x'><code>me.analyze</code></a> <code>a \\| b</code> me.analyze"
    assert links.linked(text, "how-to/x.md") == text.replace("\\|", "|")
    assert 'href="../reference/analysis.html#' in links.linked("<code>me.analyze</code>", "how-to/x.md")


def test_every_public_name_is_on_one_page_of_the_reference():
    named = [name for names in reference.contents().values() for name in names]
    assert sorted(named) == sorted(me.__all__)
    assert all(text() for text in reference.made().values())


def test_broken_sites_are_caught(tmp_path):
    """Negative controls: a link, an anchor, a picture, a request, a name that is missing or there twice."""
    names = "".join(f'<h2 id="{me.__name__}.{n}">' for n in me.__all__)
    (tmp_path / "index.html").write_text(f'<a href="#x"><h1 id="x">{names}<a href="https://arxiv.org">')
    assert check.site(tmp_path) == []
    wrong = '<a href="no.html"><a href="index.html#no"><img src="no.png">'
    wrong += f'<p id="{me.__name__}.analyze"><script src="https://x.org/x.js">'
    (tmp_path / "other.html").write_text(wrong)
    (tmp_path / "index.html").write_text(f'<h1 id="x">{names.replace(f"{me.__name__}.learn_reward", "y")}')
    found = check.site(tmp_path)
    said = [
        "no.html leads nowhere",
        "index.html#no leads nowhere",
        "no.png leads nowhere",
        "fetches https://x.org",
    ]
    said += ["analyze is described 2 times", "learn_reward is described 0 times"]
    assert len(found) == len(said)
    for what in said:
        assert any(what in line for line in found), what


def browse(page: str, seconds: float = 6, *options: str) -> tuple[str, str]:
    """The document that Chromium makes of a page of the built site, and what its console says; without any network."""
    done = subprocess.run(
        [
            "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0",
            "--host-resolver-rules=MAP * ~NOTFOUND", f"--virtual-time-budget={int(1000 * seconds)}", *options,
            "--dump-dom", f"{SITE.as_uri()}/{page}",
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


@pytest.fixture(scope="module")
def built() -> Path:
    """The site, built here where it is not there yet."""
    if not (SITE / "index.html").exists():
        environ = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
        subprocess.run([sys.executable, "-m", "mkdocs", "build"], cwd=ROOT, check=True, env=environ)
    return SITE


@pytest.mark.browser
def test_the_built_site_is_whole(built):
    assert check.site(built) == []


@pytest.mark.browser
@pytest.mark.parametrize("page", ["index", "theory", "gallery", "reference/values", "tutorials/tables"])
def test_pages_open_without_a_network(built, page):
    document, console = browse(f"{page}.html")
    assert console == "" and "md-tabs__link" in document
    assert not re.search(
        r'<(?:script|img|link)\b[^>]*(?:src|href)="https?:(?!//[^"]*" rel="canonical)', document
    )


@pytest.mark.browser
def test_search_finds_a_measure_without_a_server(built):
    document, console = browse("index.html?q=mu-atv", 15)
    assert console == ""
    results = re.findall(r'class="md-search-result__link"', document)
    assert len(results) >= 5 and "entanglement" in document.split("md-search-result__list", 1)[1]


@pytest.mark.browser
def test_every_statement_of_the_paper_leads_to_code_and_test(built):
    page = (built / "theory.html").read_text(encoding="utf-8")
    rows = [re.findall(r"<td>(.*?)</td>", row, re.S) for row in re.findall(r"<tr>(.*?)</tr>", page, re.S)]
    rows = [cells for cells in rows if cells]
    assert len(rows) > 60
    for _, _, code, test in rows:
        assert re.search(r'href="(reference/|source/src/|gallery\.html#)', code), code
        assert 'href="source/tests/' in test, test


@pytest.mark.browser
def test_the_way_from_home_to_every_name(built):
    """Home leads to the reference, which leads to each public name, which leads to its source."""
    home = (built / "index.html").read_text(encoding="utf-8")
    assert 'href="reference/index.html"' in home
    index = (built / "reference" / "index.html").read_text(encoding="utf-8")
    for name in me.__all__:
        (page,) = set(re.findall(rf'href="([\w-]+\.html)#{me.__name__}\.{name}"', index))
        assert f'id="{me.__name__}.{name}"' in (built / "reference" / page).read_text(encoding="utf-8")
