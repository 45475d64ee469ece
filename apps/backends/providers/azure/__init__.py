"""What Azure says that its machines cost, by its public price list, which asks for no credentials.

The refresh of the catalog calls it, by `retail`; nothing else here calls out.
"""
