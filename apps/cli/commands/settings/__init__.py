"""Commands about this terminal and its user: saved projects, tokens, completion.

Only `apps.cli.main` loads them.
"""
