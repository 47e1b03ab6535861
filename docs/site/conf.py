"""Sphinx's settings for the site; ``docs/site/build.py`` makes the pages and calls it."""

from c7n_secops import __version__

project = "c7n-secops"
author = "the authors of c7n-secops"
version = release = __version__

extensions = ["myst_parser", "sphinx_click"]
root_doc = "index"
nitpicky = True
suppress_warnings = ["myst.header"]  # CHANGELOG and runbooks may begin below the first level

myst_heading_anchors = 4
myst_links_external_new_tab = False

html_theme = "furo"
html_title = f"c7n-secops {release}"
html_copy_source = False
html_show_sphinx = False
pygments_style = "tango"
pygments_dark_style = "monokai"
