"""The machine that a process runs on: memory, cores, and the limits that a job sets on them."""
