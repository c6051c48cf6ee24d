"""The simulated world: applications, queries and SLOs, arrivals, drift, clusters and networks."""
