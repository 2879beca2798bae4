"""The roof: reads the configuration, builds every part and runs them."""
