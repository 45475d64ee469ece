"""What an agent does besides on a machine that was made for it: enrol, keep itself up to date, and
end the machine when nobody wants it any more. `main` calls it.
"""
