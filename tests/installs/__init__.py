"""What is installed works: ``trial tests.installs.check_installs``, which ``trial tests`` omits."""
