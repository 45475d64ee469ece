"""Machines of Amazon EC2, by boto3. Only the registry of providers calls it, by `provider`.

Its offers come from the catalog. One machine is one call of RunInstances per zone, told by a client
token and by tags from every other; nothing of ours in an account listens to anybody.
"""
