"""The site's configuration, which Sphinx reads.

    python -m sphinx --fail-on-warning -c docs -d build/doctrees . build/site

Documents stay where they are in the checkout; `pages` says which there are. `SOURCE_URL` in the environment is where
the checkout can be read, such as https://github.com/OWNER/NAME/blob/COMMIT: files that are no page are linked there.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "prefstream"
copyright = "prefstream's authors; Apache-2.0"  # noqa: A001 - Sphinx calls it so
html_title = "prefstream"
language = "en"

extensions = ["myst_parser", "_ext.pages", "_ext.markdown", "_ext.fields", "_ext.access"]
pages = {
    "index": "docs/index.md",
    # Tutorials.
    "score-a-file": "docs/score-a-file.md",
    "run-a-service": "docs/run-a-service.md",
    "read-the-topics": "docs/read-the-topics.md",
    "train-a-judge": "docs/train-a-judge.md",
    # Guides.
    "overview": "README.md",
    "operating": "deploy/README.md",
    "running-for-years": "deploy/OPERATING.md",
    "demo-judges/index": "scoring/demo/pretrained/README.md",
    "demo-judges/gemma-middle": "scoring/demo/pretrained/gemma-middle/README.md",
    "demo-judges/smollm-middle": "scoring/demo/pretrained/smollm-middle/README.md",
    "demo-judges/lexical-demo": "scoring/demo/pretrained/lexical-demo/README.md",
    "sample-battles": "consumer/demo/samples/README.md",
    # Reference.
    "command-line": "consumer/cli/REFERENCE.md",
    "contract": "schemas/README.md",
    "fields": "docs/fields.md",
    # How it is made.
    "scoring": "scoring/README.md",
    "consumer": "consumer/README.md",
    "promises": "tests/README.md",
    "contributing": ".github/CONTRIBUTING.md",
    "security": ".github/SECURITY.md",
    "changelog": "CHANGELOG.md",
}
"""Addresses on the site, and the documents that are read there."""
downloads = [
    "schemas/battle.schema.json",
    "schemas/preference.schema.json",
    "schemas/vote.schema.json",
    "schemas/dead-letter.schema.json",
    "schemas/panel-choice.schema.json",
    "schemas/asyncapi.yaml",
]
"""Files that are no page, and that the site has all the same."""
source_url = os.environ.get("SOURCE_URL", "")

myst_heading_anchors = 6  # as GitHub names them: one link fits both
myst_enable_extensions = ["attrs_inline", "deflist"]
nitpicky = True
suppress_warnings = ["toc.not_included"]  # the judges' cards stand on the page of their panel
smartquotes = False  # of --votes they make –votes
highlight_language = "text"  # what is indented is a command as often as a file

html_theme = "furo"
html_theme_options = {  # the colours of the board's page
    "light_css_variables": {"color-brand-primary": "#0b6e69", "color-brand-content": "#0b6e69"},
    "dark_css_variables": {"color-brand-primary": "#5cc8bf", "color-brand-content": "#5cc8bf"},
}
html_favicon = "../consumer/board/page/icon.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_domain_indices = False
html_use_index = False
