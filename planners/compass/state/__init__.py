"""What Compass knows about queries and resources, as records that its parts exchange."""
