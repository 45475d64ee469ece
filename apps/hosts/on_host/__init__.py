"""What runs on a host itself: its check, the installation of its agent and the removal.

`apps.hosts.scripts` sends them; they are the same for every host, Python 3.9 without anything else.
"""
