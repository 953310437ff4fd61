"""How Sphinx builds the site. `minipost site` calls it with the tree that `lessons.tools.site.sources` assembles."""

from __future__ import annotations

import minipost

project = "minipost"
author = "The minipost authors"
copyright = author
release = version = minipost.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "lessons.tools.site.extension"]
exclude_patterns = ["LICENSE", "docs/site"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
# Signatures name these as the source does.
autodoc_type_aliases = {name: name for name in ("TensorLike", "Array", "Floats", "Ints", "Bools")}
add_module_names = False
toc_object_entries = False
python_maximum_signature_line_length = 90
highlight_language = "none"  # drawings, outputs; what is Python says so
pygments_style = "friendly"
pygments_dark_style = "github-dark"
# An output or a drawing in a code block is no Python, and need not be.
suppress_warnings = ["misc.highlighting_failure", "ref.python"]  # two rooms have a Claim: either link will do

html_theme = "furo"
html_title = "minipost"
html_favicon = "_static/icon.svg"
# An excerpt would be fetched from its page, which browsers forbid to pages that are opened as files.
html_show_search_summary = False
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["colours.css", "site.css"]
html_js_files = ["play.js"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True, "top_of_page_buttons": []}
