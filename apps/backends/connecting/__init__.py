"""Connecting accounts of clouds: what is given is read, a worker asks the cloud, people are told.

Pages and API call `requests` for what people ask for and `config_form` for how it is asked; the
task calls `checks`. No web request asks a cloud.
"""
