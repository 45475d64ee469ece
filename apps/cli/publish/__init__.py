"""From a folder to a published service: the steps of `dstack run` and `dstack apply`.

The commands call it; each step is useful alone, too.
"""
