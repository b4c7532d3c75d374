"""Deep image prior: the network, its fit, the choice of its head, ensembles and their error bars."""
