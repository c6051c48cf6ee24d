"""What is simulated: applications, queries and their SLOs, arrivals, drift, clusters, networks."""
