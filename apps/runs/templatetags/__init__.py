"""Links to services and gateways by name, as tags of templates.

Templates of any stage load `services`; no module of another stage imports this.
"""
