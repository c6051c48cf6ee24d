"""The world: queries come and go, plans are deployed, machines fail, and the clock moves on."""
