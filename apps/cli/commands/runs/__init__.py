"""Commands about runs: start, watch, change and end them, and the folders that they were given.

Only `apps.cli.main` loads them; they share `apps.cli.publish`.
"""
