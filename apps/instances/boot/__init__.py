"""A machine that we made, from its request to the first call of its agent.

`reconcile` asks for it with what `machine_spec` says; the agent's routes let it enrol.
"""
