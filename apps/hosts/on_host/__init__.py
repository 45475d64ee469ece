"""What runs on a host itself: its check, the installation of its agent and the removal.

`apps.hosts.work.scripts` sends them; they are the same for every host, and Python 3.9 alone.
"""
