"""The site: the lessons, the measured claims and the API as pages that work without a network.

    command     `python -m lessons site`: build it, serve it on this machine
    sources     the tree that Sphinx reads: a mirror of the project's pages, and pages made from its modules
    extension   what Sphinx learns from us: formulas, links from code names, docstrings, figures to play with
    play        a figure with a slider: what it is, and how it gets on a page
    numbers     what those figures show, computed by the package when the site is built

Only `command` is imported without the extra `site`; Sphinx is loaded when a site is built.
"""
