"""Folders for model files: one for each project on this machine, kept between its replicas.

`given` makes a project's and says how replicas find it, `keeper` measures, clears and ends them.
"""
