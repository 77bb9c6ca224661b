"""A shot on many machines: one graph of work, and a writer for each kind of farm. No queue and no worker."""
