"""Renders a page as one HTML file that includes its style and its script, and that loads nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_BASE_STYLE = Path(__file__).parent / "single_page.css"


def render_page(folder: Path, template: str, *, style: str, scripts: Sequence[str], **values: Any) -> str:
    """Returns the page that a template describes, with its style and its script in it.

    The template finds these values beside its own: `style`, which is single_page.css and then the page's own style;
    `script`, the page's scripts in a row; and `style_hash` and `script_hash`, by which a content security policy allows
    these two and no others.

    Args:
        folder: where the template, the style and the scripts are.
        template: the name of the template, in Jinja's language; what it shows is escaped.
        style: the name of the page's own style, which may override that of all pages.
        scripts: the names of the page's scripts, which may use one another's functions.
        **values: the values that the template shows, by name.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    styles = "\n".join(path.read_text(encoding="utf-8") for path in (_BASE_STYLE, folder / style))
    script = "\n".join((folder / name).read_text(encoding="utf-8") for name in scripts)
    return environment.get_template(template).render(
        style=styles, style_hash=_source_hash(styles), script=script, script_hash=_source_hash(script), **values
    )


def _source_hash(source: str) -> str:
    """Returns the hash by which a content security policy allows one script or style and no other."""
    return f"sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode('ascii')}"
