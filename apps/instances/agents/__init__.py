"""The agents' side: whose token it is, what each must run, what each reports.

Agents call the routes; telemetry asks `access` who sends lines and figures.
"""
