"""What a person sees on the terminal: tables, plans, progress, colours, words for values.

Everything of the command line may call it; it asks no server anything.
"""
