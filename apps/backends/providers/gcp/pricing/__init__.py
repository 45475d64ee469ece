"""What machines cost at Google Cloud, and which there are: asked of Google for the refresh of
prices. Only the provider calls it, by `catalog`.
"""
