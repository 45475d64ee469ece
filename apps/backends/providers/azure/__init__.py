"""Machines of Azure, by Microsoft's libraries over REST. Only the registry calls it, and of its
public price list, which asks for no credentials, the refresh of the catalog.

Its offers come from the catalog. A machine is one resource in a group of ours, one for each region;
its disk, network interface and address are made with it and go with it. Nothing of ours in a
subscription listens to anybody. Microsoft's libraries take a second to import, so that they are
when a cloud is first asked.
"""
