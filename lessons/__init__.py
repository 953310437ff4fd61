"""The lessons, the experiments that they show, and the tools that make their pages: `python -m lessons --help`.

    NN_name/        a lesson: a script, its page, its exercises
    experiments/    what is claimed about post-training, measured; the laboratory; the village
    tools/          pages, exercises, pictures, the site

Nothing here is part of the installed package: it runs inside a checkout, on top of `minipost`.
"""
