"""A project's own hosts: checked over ssh, given an agent, and left as they were.

Pages, API and command line ask `services` and `queries`; all ssh is a worker's.
"""
