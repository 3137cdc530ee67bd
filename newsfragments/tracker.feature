``twistd p2ptracker`` and ``twist p2ptracker`` run a tracker, which remembers who is there, introduces two peers to each other over UDP, TCP or TLS, answers any STUN client, and carries no payload.
