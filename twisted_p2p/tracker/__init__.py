"""The meeting point: who is here, and how two of them are introduced."""
