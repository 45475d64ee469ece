"""What machines stand in at AWS: a VPC where there is none, security groups, static addresses.

The provider and its network module call it.
"""
