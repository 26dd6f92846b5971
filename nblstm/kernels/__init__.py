"""What is compiled: the equations, the sweeps over time, matrix products, the vector type."""
