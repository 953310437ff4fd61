"""The site: the lessons, the measured claims and the API as pages that work without a network.

    command     `python -m lessons site`: build it, serve it on this machine
    sources     the tree that Sphinx reads: a mirror of the project's pages, and pages made from its modules
    extension   our extension of Sphinx: formulas, links from code names, docstrings, figures with a slider
    play        a figure with a slider: its data, and its element on a page
    numbers     the numbers of those figures, computed by the package when the site is built

Only `command` is imported without the extra `site`; Sphinx is loaded when a site is built.
"""
