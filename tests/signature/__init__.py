"""The signature: a few numbers of short runs that touch every mechanism, and what they tell."""
