"""An encrypted, mutually authenticated connection of many streams over one path."""
