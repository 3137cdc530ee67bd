"""The services of a router that let programs map ports: NAT-PMP, PCP and UPnP, as machines."""
