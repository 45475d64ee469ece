"""The commands of `dstack`, one a file, in folders by what they are about.

Only `apps.cli.main` loads them, each when it is called.
"""
