Connections survive a NAT that forgets its mappings also where the other side's NAT filters by port: peers are introduced again as soon as a tracker has seen the new port.
