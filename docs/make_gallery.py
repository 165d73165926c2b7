"""Makes docs/gallery.md, the records and the table of the gallery: python docs/make_gallery.py."""

from __future__ import annotations

from pathlib import Path

import markov_entanglement as me
from markov_entanglement.report.gallery import markdown

if __name__ == "__main__":
    page = Path(__file__).with_name("gallery.md")
    page.write_text(me.gallery.page(markdown(me.gallery.benchmark())), encoding="utf-8")
