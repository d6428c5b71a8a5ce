"""Neural networks: activation functions, dense networks and their serial form."""
