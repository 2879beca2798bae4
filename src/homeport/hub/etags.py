"""What clients name versions of twins by (contract hub.md 3.4)."""

import binascii

from homeport.hub import translate


def twin_version(etag: str | None) -> int | None:
    """Return the version a twin's etag stands for; None for a wildcard, a number nobody has for anything else."""
    text = translate.read_etag(etag)
    if text is None:
        return None
    try:
        raw = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except ValueError:
        return 0
    return int.from_bytes(raw) if len(raw) == 8 else 0  # contract hub.md 3.4
