"""How well a served pipeline is predicted: a campaign of observations, and a page on the errors."""
