"""The number of replicas that is wanted: by scaling, and by a person beside the file.

Services, rollouts and the control loop call it.
"""
