"""Machines of Amazon EC2, by boto3. Only the registry of providers calls it, by `provider`.

It is not in that table yet: its machines have nothing to boot and enrol with so far, and its
offers come from the catalog. One machine is one call of RunInstances per zone, told by a client
token and by tags from every other; nothing of ours in an account listens to anybody.
"""
