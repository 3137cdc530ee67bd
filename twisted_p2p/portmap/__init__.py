"""Port mappings asked of the router: the messages of NAT-PMP, PCP and UPnP's discovery."""
