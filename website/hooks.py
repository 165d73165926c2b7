"""What the site has beyond plain Markdown: what examples show, the reference, sources, links of names, checks."""

from __future__ import annotations

import re
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import check
import execute
import links
import reference
from mkdocs.exceptions import PluginError
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files

ROOT = execute.ROOT
_running: dict[str, tuple[str, Future[Any]]] = {}


def on_config(config: Any) -> Any:
    """Fills in what the navigation leaves open: `folder/*` stands for the pages of a folder."""
    config.nav = _filled(config.nav, Path(config.docs_dir))
    return config


def _filled(nav: list[Any], docs: Path) -> list[Any]:
    out: list[Any] = []
    for item in nav:
        if isinstance(item, dict):
            title, inside = next(iter(item.items()))
            out.append({title: _filled(inside, docs)} if isinstance(inside, list) else item)
        elif item == "reference/*":
            out += reference.pages()
        elif item.endswith("/*"):
            out += sorted(p.relative_to(docs).as_posix() for p in docs.glob(f"{item[:-1]}*.md"))
        else:
            out.append(item)
    return out


def _changelog() -> str:
    """CHANGELOG.md as a page: links start in docs/."""
    return re.sub(r"\]\(docs/", "](", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))


GENERATED = {"changelog.md": _changelog}


def on_files(files: Files, config: Any) -> Files:
    """Adds the reference, the changelog and every source that a page names; starts to run the examples."""
    for name, make in (GENERATED | reference.made()).items():
        files.append(File.generated(config, name, content=make()))
    texts = {f.src_uri: f.content_string for f in files.documentation_pages()}
    for path in links.named_sources(texts.values()):
        files.append(File.generated(config, links.source_page(path), content=links.source(path)))
    new = {uri: text for uri, text in texts.items() if _running.get(uri, ("",))[0] != text}
    started = execute.in_a_process(dict(sorted(new.items(), key=lambda item: -len(execute.blocks(item[1])))))
    _running.update({uri: (new[uri], shown) for uri, shown in started.items()})
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Shows below each block what it shows."""
    uri = page.file.src_uri
    if uri not in _running:
        return markdown
    try:
        return execute.woven(markdown, _running[uri][1].result())
    except execute.Failed as error:
        raise PluginError(f"an example fails: {error}") from None


def on_page_content(html: str, page: Any, config: Any, files: Files) -> str:
    """Makes links of names of code, of files and of gallery systems."""
    return links.linked(html, page.file.src_uri)


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Links to the top lead to its page, not to its folder: the site is read without a server."""
    return re.sub(r'href="((?:\.\./)*\.\.?)/?"', r'href="\1/index.html"', output)


@event_priority(-200)
def on_post_build(config: Any) -> None:
    """Nothing is broken, nothing is fetched, every public name is there once."""
    if wrong := check.site(Path(config.site_dir)):
        raise PluginError("\n".join(["the site is not whole:", *wrong]))
