"""Machines, what each of them must run, and the reports of their agents.

Runs and telemetry call `services`, agents their routes.
"""
