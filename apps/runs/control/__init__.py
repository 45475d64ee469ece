"""The control loop: what each run and replica should become, and the steps that bring it about.

Only tasks and the composition root call it; services change what is desired, never a replica.
"""
