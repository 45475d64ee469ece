"""Commands about where services run and are published: backends, offers, gateways.

Only `apps.cli.main` loads them.
"""
