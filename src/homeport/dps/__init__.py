"""Device provisioning: who may register, which hub is home, and what the device is told."""
