"""For who writes policies and elements: checks with places, a schema for editors, templates."""
