"""A software TPM for tests: the same one the demo starts."""

from homeport.cli.demo.software_tpm import SoftwareTpm

__all__ = ["SoftwareTpm"]
