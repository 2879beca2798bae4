"""`homeport …`: what an operator types. Administration goes through the server's public API by way of `client`."""
