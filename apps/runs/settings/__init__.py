"""The Settings tab of a service: its sections as forms, and how one is saved.

Only the views call it. A section changes keys of the service's file, and what comes of it is
submitted as any other new version is.
"""
