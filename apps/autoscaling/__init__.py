"""How many replicas a run should have, decided from what gateways count, each decision kept.

Tasks and pages call it; nothing below knows of it.
"""
