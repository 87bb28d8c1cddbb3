"""Lays the site out like the repository, so that one link works on both; see mkdocs.yml."""

from __future__ import annotations

import hashlib
from importlib.resources import files as resources
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
SOURCES = (
    "*.md", "docs/**/*.md", "docs/images/*.png", "docs/observability/*", "examples/*.py",
    "examples/issue_tracker/*.*", "examples/issue_tracker/blueprints/*", "LICENSE",
)  # fmt: skip

# Mermaid 11.16.0, mermaid.min.js as npm has it. Without it the theme loads Mermaid from a CDN when
# a page is viewed. A wheel brings it, so that neither the repository nor the build fetches 3.5 MB.
MERMAID = "mermaid.min.js"
MERMAID_SHA256 = "74d7c46dabca328c2294733910a8aa1ed0c37451776e8d5295da38a2b758fb9b"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace what mkdocs found in docs/ by files under their paths in the repository."""
    for page in files.documentation_pages():
        files.remove(page)
    for pattern in SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    files.append(File.generated(config, MERMAID, content=_mermaid()))
    return files


def _mermaid() -> bytes:
    content = resources("mermaidx").joinpath("assets/mermaid.js").read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != MERMAID_SHA256:
        raise PluginError(
            f"mermaidx brings a Mermaid with SHA-256 {found}, expected {MERMAID_SHA256}: install "
            "the version that setup.cfg names, or check the new file and change docs/hooks.py"
        )
    return content
