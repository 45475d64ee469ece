"""Machines of Google Compute Engine, by google-cloud-compute over REST. Only the registry calls it.

Its offers come from the catalog. A machine has its boot's name, which is unique in a zone, and
labels by which it is told from every other; nothing of ours in a project listens to anybody.
Google's libraries take a second to import, so that they are when a cloud is first asked.
"""
