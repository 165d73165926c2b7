"""Reports in headless Chromium, offline: they open, ask for nothing, show their pictures and names as text."""

from __future__ import annotations

import base64
import html
import json
import os
import re
import shutil
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement.report.html import render_html
from test_report import HOSTILE, Page, document, requests_of

pytestmark = pytest.mark.browser

BLUE = (0, 114, 178)
BROWSER = shutil.which("chromium")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-extensions", "--disable-dev-shm-usage",
    "--hide-scrollbars",
]  # fmt: skip
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND"


@pytest.fixture(autouse=True)
def browser() -> None:
    """Chromium, or skip; with CI=true its absence is a failure."""
    if BROWSER is None:
        reason = "chromium is missing: apt-get install chromium"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A report with every part and hostile names."""
    path = tmp_path / "report.html"
    certificate = {"mu": {"1": [0.0, 2.0], "4": [0.1, 0.3], "16": [0.19, 0.21]}}
    path.write_text(render_html(document(4, list(HOSTILE), certificate=certificate)), encoding="utf-8")
    return path


def chromium(path: Path, *options: str) -> str:
    """Open a file in a fresh profile; what the browser printed."""
    assert BROWSER is not None
    profile = path.parent / "profile"
    command = [BROWSER, *FLAGS, f"--user-data-dir={profile}", *options, path.as_uri()]
    done = subprocess.run(command, capture_output=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    return done.stdout.decode("utf-8")


def screenshot(path: Path, width: int = 1200, height: int = 3000) -> Any:
    """Pixels (height, width, 3), 0 to 255."""
    target = path.with_suffix(".png")
    chromium(path, OFFLINE, f"--screenshot={target}", f"--window-size={width},{height}")
    return np.round(255 * matplotlib.image.imread(target)[..., :3]).astype(int)


def count(pixels: Any, colour: tuple[int, int, int]) -> int:
    """Pixels of exactly that colour."""
    return int((pixels == np.array(colour)).all(axis=-1).sum())


class _Listener(socketserver.ThreadingTCPServer):
    """A proxy that answers nothing and remembers who was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), _Asked)


class _Asked(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        line = self.rfile.readline().decode("latin-1")
        assert isinstance(self.server, _Listener)
        self.server.asked.append(line.strip())


@pytest.fixture
def proxy() -> Iterator[_Listener]:
    with _Listener() as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        yield listener
        listener.shutdown()


def asked(proxy: _Listener, path: Path) -> list[str]:
    """Requests of a page that went out, those of the browser itself left out."""
    chromium(path, f"--proxy-server=http://127.0.0.1:{proxy.server_address[1]}", "--dump-dom")
    own = ("google.com", "googleapis.com", "gvt1.com", "gstatic.com")
    return [line for line in proxy.asked if line and not any(host in line for host in own)]


def test_no_request_goes_out(page: Path, proxy: _Listener) -> None:
    assert requests_of(page.read_text(encoding="utf-8")) == []
    assert asked(proxy, page) == []


def test_a_request_would_be_seen(tmp_path: Path, proxy: _Listener) -> None:
    path = tmp_path / "asks.html"
    path.write_text("<img src='http://elsewhere.example/x.png'>", encoding="utf-8")
    assert any("elsewhere.example" in line for line in asked(proxy, path))


def test_pictures_are_visible(page: Path) -> None:
    shown = screenshot(page)
    assert count(shown, BLUE) > 3000, "bars and markers"
    right = shown[:, 620:1140]
    assert ((right < 128).all(axis=-1).sum()) > 1000, "labels of the pictures on the right"
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("</style>", "svg { visibility: hidden; }</style>", 1), encoding="utf-8")
    assert count(screenshot(page), BLUE) == 0, "without pictures their colour is gone"


def test_the_page_is_drawn_to_its_end_and_fits_a_narrow_window(page: Path) -> None:
    frame = page.with_name("frame.html")
    frame.write_text(
        f"<body style='margin:0;background:#00ff00'><iframe src='{page.as_uri()}' "
        "style='width:400px;height:1500px;border:0'></iframe>",
        encoding="utf-8",
    )
    shown = screenshot(frame, 500, 1500)
    assert count(shown[:, 400:], (0, 255, 0)) > 0.99 * 100 * 1500
    assert (shown[:, 380:398] > 200).all(), "nothing runs over the right margin"
    dom = Page(chromium(page, OFFLINE, "--dump-dom"))
    assert "arXiv 2506.02385" in dom.text


#: Sizes of text, boxes that are wider than their window, and how large letters of pictures are on the screen.
_MEASURE = """
const d = document.getElementById('f').contentDocument, w = d.defaultView;
const size = (s) => [...d.querySelectorAll(s)].map((e) => parseFloat(w.getComputedStyle(e).fontSize));
const boxes = [...d.querySelectorAll('.scroll')].map((b) => {
  const hint = b.previousElementSibling;
  return {name: b.getAttribute('aria-label'), over: b.scrollWidth - b.clientWidth, focus: b.tabIndex,
    hint: !!hint && hint.className === 'hint' && w.getComputedStyle(hint).display !== 'none'};});
const letters = [...d.querySelectorAll('svg text')].map((t) => {
  const m = t.getScreenCTM();
  return parseFloat(w.getComputedStyle(t).fontSize) * Math.hypot(m.a, m.b);});
const nav = w.getComputedStyle(d.querySelector('nav')).display, page = d.documentElement.scrollWidth;
const small = size('.small, .note, figcaption, caption, td, tbody th');
document.body.textContent = JSON.stringify({boxes, letters, page, nav, small, body: size('body')});
"""


def measured(path: Path, width: int, *, paper: bool = False) -> dict[str, Any]:
    """What a browser makes of a page in a frame of that width; on paper, the rules of print hold."""
    text = path.read_text(encoding="utf-8")
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    text = (
        text.replace("@media print", "@media all").replace("@media screen", "@media speech")
        if paper
        else text
    )
    frame = path.with_name("measure.html")
    frame.write_text(
        f"<meta charset='utf-8'><iframe id='f' style='width:{width}px;height:900px;border:0' "
        f"srcdoc='{html.escape(text)}'></iframe><script>window.onload = () => {{ {_MEASURE} }};</script>",
        encoding="utf-8",
    )
    found: dict[str, Any] = json.loads(Page(chromium(frame, OFFLINE, "--dump-dom")).text)
    return found


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """A report with all that an exact bandit has."""
    path = tmp_path / "full.html"
    me.analyze(me.gallery.build("health").chain()).save_html(path)
    return path


def test_at_400_pixels_nothing_is_lost_without_a_hint(full: Path) -> None:
    found = measured(full, 400)
    assert found["page"] <= 400 and len(found["boxes"]) > 12
    for box in found["boxes"]:
        assert box["focus"] == 0 and box["name"]
        assert box["over"] <= 1 or box["hint"], box
    assert any(box["hint"] for box in found["boxes"]) and not all(box["hint"] for box in found["boxes"])
    assert min(found["letters"]) >= 11 and len(found["letters"]) > 100


def test_at_1200_pixels_everything_is_there_at_once(full: Path) -> None:
    found = measured(full, 1200)
    assert [box for box in found["boxes"] if box["over"] > 1 or box["hint"]] == []
    assert min(found["letters"]) >= 11


def test_notes_on_paper_are_no_larger_than_the_text(full: Path) -> None:
    found = measured(full, 660, paper=True)
    assert found["nav"] == "none" and 12 <= found["body"][0] <= 14
    assert max(found["small"]) <= found["body"][0] and min(found["small"]) >= 9.5


def test_names_that_contain_html_are_text(page: Path) -> None:
    dom = Page(chromium(page, OFFLINE, "--dump-dom"))
    assert not {"script", "b"} & set(dom.tags)
    assert dom.tags.count("svg") == 5
    for name in HOSTILE:
        assert dom.text.count(name) >= 2, name


def test_html_that_is_not_escaped_would_be_seen(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for tag in ("script", "b"):
        page.write_text(text.replace(f"&lt;{tag}&gt;", f"<{tag}>"), encoding="utf-8")
        assert tag in Page(chromium(page, OFFLINE, "--dump-dom")).tags


@pytest.mark.parametrize("entry", ["shared-randomness", "parity", "circulant"])
def test_reports_of_the_gallery_open(entry: str, tmp_path: Path) -> None:
    subject = me.gallery.build(entry)
    found = me.analyze(subject.system, subject.policy, title=entry)
    path = tmp_path / f"{entry}.html"
    found.save_html(path)
    assert found.sentence in Page(chromium(path, OFFLINE, "--dump-dom")).text
    shown = screenshot(path, 1200, 1500)
    assert (shown < 128).all(axis=-1).mean() > 0.005, "there is text on the page"


# --- cards in a notebook ---------------------------------------------------------------------------------

THEMES = {
    "light": ("#ffffff", "#000000de", "#f5f5f5", 'data-jp-theme-light="true"'),
    "dark": ("#111111", "#ffffffde", "#212121", 'data-jp-theme-light="false" class="vscode-dark"'),
}
#: What notebooks say of everything that an output holds (JupyterLab's rendered HTML, shortened).
LOOKS = """
body {{ margin: 0; background: {paper}; color: {ink}; font: 13px/1.5 system-ui, sans-serif; }}
.jp-Cell {{ display: flex; padding: 6px; align-items: flex-start; }}
.jp-Prompt {{ flex: 0 0 64px; text-align: right; font-family: monospace; opacity: .7; }}
.jp-OutputArea-output {{ flex: 1 1 auto; min-width: 0; overflow: auto; }}
.jp-RenderedHTMLCommon table {{
  border-collapse: collapse; font-size: 12px; table-layout: fixed; margin: 0 auto 1em auto; }}
.jp-RenderedHTMLCommon :is(td, th, tr) {{ text-align: right; vertical-align: middle; padding: .5em;
  line-height: normal; white-space: normal; max-width: none; border: none; }}
.jp-RenderedHTMLCommon tbody tr:nth-child(odd) {{ background: {stripe}; }}
.jp-RenderedHTMLCommon p {{ text-align: left; margin: 0 0 1em 0; }}
.jp-RenderedHTMLCommon code {{ background: {stripe}; padding: 1px 5px; }}
.badge {{ padding: 3px 7px; background: #777777; }}
"""
CELL = (
    '<div class="jp-Cell"><div class="jp-Prompt" data-foreign>[{k}]:</div>'
    '<div class="jp-OutputArea-output jp-RenderedHTMLCommon">{output}</div></div>'
)
FOREIGN = re.sub(r"<(\w+)", r"<\1 data-foreign", """
<pre>me.analyze(chain)</pre><h1>A heading</h1><h2>Another</h2><p>Words with <b>bold</b>, <code>code</code>,
<a href="#x">a link</a>, <small>small</small>, <strong>strong</strong> and <span class="badge">a badge</span>.</p>
<table class="dataframe"><caption>c</caption><thead><tr><th>a</th></tr></thead>
<tbody><tr><td>1</td></tr><tr><td>2</td></tr></tbody></table>
<ul><li>item</li></ul><dl><dt>t</dt><dd>d</dd></dl><button>Press</button><hr><input>
<figure><figcaption>f</figcaption><svg width="20" height="20"><path d="M0 0L9 9"/><text y="9">x</text></svg></figure>
<section><header>h</header></section><main>m</main><footer>f</footer>
""")  # fmt: skip
#: Writes down computed styles of foreign elements, and contrast and place of what cards show.
REPORT = """
<pre id="report"></pre><script>
const rgb = s => (s.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
const over = (c, b) => { const a = c.length > 3 ? c[3] : 1; return [0, 1, 2].map(k => a * c[k] + (1 - a) * b[k]); };
const light = c => c.slice(0, 3).map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
  .reduce((t, v, k) => t + v * [.2126, .7152, .0722][k], 0);
const paper = e => { if (!e) return [255, 255, 255]; const c = rgb(getComputedStyle(e).backgroundColor);
  return c.length > 3 && c[3] === 0 ? paper(e.parentElement) : over(c, paper(e.parentElement)); };
const contrast = e => { const s = getComputedStyle(e), b = paper(e);
  const [x, y] = [light(over(rgb(e.ownerSVGElement ? s.fill : s.color), b)), light(b)].sort((p, q) => q - p);
  return (x + .05) / (y + .05); };
const styles = [...document.querySelectorAll("[data-foreign]")].map(e => { const s = getComputedStyle(e);
  return e.tagName + ": " + [...s].map(k => k + "=" + s.getPropertyValue(k)).join(";"); });
const words = [...document.querySelectorAll(".markov-card *:not(style)")].filter(e =>
  [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) && !["title", "desc"].includes(e.tagName));
document.getElementById("report").textContent = JSON.stringify({ styles,
  dark: matchMedia("(prefers-color-scheme: dark)").matches,
  badges: [...document.querySelectorAll(".mec-badge")].map(contrast),
  least: Math.min(99, ...words.map(contrast)), words: words.length,
  wide: [...document.querySelectorAll(".jp-Cell")].map(e => e.scrollWidth - e.clientWidth),
  places: [...document.querySelectorAll(".mec-picture svg, img")].map(e => { const r = e.getBoundingClientRect();
    return [r.left, r.top, r.right, r.bottom].map(Math.round); }) });
document.getElementById("report").style.display = "none";
</script>
"""


@pytest.fixture(scope="module")
def outputs() -> list[str]:
    """Cards of five results, and a figure as a notebook shows it."""
    subject = me.gallery.build("circulant")
    chain = subject.chain()
    found = me.analyze(subject.system, subject.policy)
    bandit = me.gallery.build("circulant-bandit", n_arms=8).system
    results = [found, found.certificate, me.entanglement(chain), me.whittle_index(bandit), found.budget]
    png = base64.b64encode(found.plot("bounds")._repr_png_()).decode()
    return [*(r._repr_html_() for r in results), f'<img src="data:image/png;base64,{png}">']


def notebook(path: Path, outputs: list[str], theme: str = "light", width: str = "auto") -> Path:
    """A page as a notebook makes it: cells with prompts, foreign elements, and these outputs between them."""
    paper, ink, stripe, attributes = THEMES[theme]
    cells = "".join(CELL.format(k=k, output=output) for k, output in enumerate([*outputs, FOREIGN]))
    style = LOOKS.format(paper=paper, ink=ink, stripe=stripe)
    path.write_text(
        f'<!doctype html><html><head><meta charset="utf-8"><style>{style}</style></head><body {attributes}>'
        f'<div style="width:{width}">{cells}</div>{REPORT}</body></html>',
        encoding="utf-8",
    )
    return path


def differences(some: list[str], others: list[str]) -> list[str]:
    """What is not alike in the styles of the same elements."""
    out = []
    for a, b in zip(some, others, strict=True):
        tag, names = a.partition(": ")[0], zip(a.split(";"), b.split(";"), strict=True)
        out += [f"{tag} {x[-60:]} against {y[-60:]}" for x, y in names if x != y]
    return out


def told(path: Path, *options: str) -> Any:
    """What the page reports of itself."""
    dom = chromium(path, OFFLINE, "--window-size=1200,4000", *options, "--dump-dom")
    found = re.search(r'<pre id="report"[^>]*>(.*?)</pre>', dom, re.DOTALL)
    assert found
    return json.loads(html.unescape(found[1]))


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("desktop", ["1", "0"], ids=["light desktop", "dark desktop"])
def test_cards_leave_a_notebook_alone_and_are_readable(
    theme: str, desktop: str, outputs: list[str], tmp_path: Path
) -> None:
    scheme = f"--blink-settings=preferredColorScheme={desktop}"
    bare = told(notebook(tmp_path / "bare.html", ["<p>x</p>"] * len(outputs), theme), scheme)
    page = notebook(tmp_path / "cards.html", outputs, theme)
    full = told(page, scheme)
    assert bare["dark"] is full["dark"] is (desktop == "0"), "the desktop is as asked"
    assert len(bare["styles"]) > 30 and differences(bare["styles"], full["styles"]) == []
    assert len(full["badges"]) >= 2 and min(full["badges"]) >= 4.5
    assert full["words"] > 150 and full["least"] >= 4.5
    assert max(full["wide"]) <= 0, "nothing runs out of its cell"
    assert len(full["places"]) == 6
    shown = screenshot(page, 1200, 4000)
    for left, top, right, bottom in full["places"]:
        crop = shown[top:bottom, left:right]
        assert crop.shape[0] > 60 and crop.shape[1] > 200
        assert (np.ptp(crop, axis=2) > 60).sum() > 80, "colours of marks"


def test_cards_fit_a_narrow_cell(outputs: list[str], tmp_path: Path) -> None:
    found = told(notebook(tmp_path / "narrow.html", outputs[:5], width="400px"))
    assert max(found["wide"]) <= 0
    assert all(right <= 400 for _, _, right, _ in found["places"])


def test_a_rule_for_all_would_be_seen(outputs: list[str], tmp_path: Path) -> None:
    bare = told(notebook(tmp_path / "bare.html", ["<p>x</p>"]))
    for rule in ("td { color: red }", ".badge { background: red }", "* { stroke-linejoin: round }"):
        page = notebook(tmp_path / "bad.html", [f"<style>{rule}</style>"])
        assert differences(bare["styles"], told(page)["styles"]), rule
    faint = outputs[1].replace("color: inherit", "color: #999999", 1)
    assert told(notebook(tmp_path / "faint.html", [faint]))["least"] < 4.5
