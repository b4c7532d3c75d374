"""Work in the background: the jobs, the one poller, and the functions that run."""
