"""A gateway of the server on this machine: installed from the server's wheel, kept running.

The agent calls the executor; the keeper is a program of its own beside each gateway.
"""
