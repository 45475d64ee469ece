"""The number of replicas that is wanted: by the autoscaler, and by a person's `scale`.

Services, rollouts and the control loop call it.
"""
