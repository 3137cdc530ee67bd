"""What the NATs of the kernel do, and those of the simulated internet, compared.

``python -m tests.kernel.agreement`` runs both and writes the tables of docs/kernel-agreement.rst.
"""
