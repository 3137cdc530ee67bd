Data of peers cross the kernel in runs of datagrams, where it is Linux: a transfer takes half of the processor time, and with a core for each side twice as much goes over.
