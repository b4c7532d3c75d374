"""Controls that the pages are made of: forms, tables, lists, buttons."""
