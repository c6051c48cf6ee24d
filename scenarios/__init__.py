"""What is simulated: applications, queries and their SLOs, arrivals, drift, cluster layouts."""
