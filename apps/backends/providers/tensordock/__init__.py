"""TensorDock by its documented API of version 2: GPUs of many hosts in one marketplace.

Only the registry of providers imports it. It was never held against the live service.
"""
