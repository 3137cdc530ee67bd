"""Files and folders over any stream: what is sent, what is missing, and where it may be written."""
