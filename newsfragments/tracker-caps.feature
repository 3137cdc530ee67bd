A tracker limits the registrations from one IPv4 address and from one IPv6 /64, /56 and /48, and the peers of one topic.
