"""What the Makefile calls: the demo, and the set-up of the offline page of plots."""
