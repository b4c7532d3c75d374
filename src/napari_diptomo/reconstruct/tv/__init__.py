"""Total variation: norms of the Jacobian and the primal-dual solver."""
