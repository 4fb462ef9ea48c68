"""What this machine has, and how this process uses it."""
