"""What Compass knows about queries, and the records that its parts exchange."""
