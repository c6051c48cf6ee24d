"""The world: queries arrive and depart, plans are deployed, machines fail, and time advances."""
