"""The pages of the dock, one per stage, and the parts they are made of."""
