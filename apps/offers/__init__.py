"""What fits a service on the backends of a project, cheapest first, and why the rest does not.

Runs plan and place by it; it has no table.
"""
