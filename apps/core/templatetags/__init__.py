"""What all pages show alike, as tags and filters of templates.

Templates load `ui`; words for pages may come from it too.
"""
