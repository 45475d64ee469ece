"""Single values and how they are read: texts, numbers, ranges, durations, GPUs, variables.

Sections are made of them; a field knows neither the section nor the file it stands in.
"""
