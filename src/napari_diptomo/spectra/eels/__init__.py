"""EELS: from low and core losses to the oxidation state."""
