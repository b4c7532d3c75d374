"""The steps: what the user sets, translated into the settings of the algorithms beneath."""
