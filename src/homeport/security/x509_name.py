"""Distinguished names: the text .NET prints, and a key that two spellings of one name share."""

import hashlib

from cryptography.x509 import Name, NameAttribute

# The labels .NET knows; every other attribute type is written as OID.1.2.3.
_LABELS = {
    "2.5.4.3": "CN",
    "2.5.4.4": "SN",
    "2.5.4.5": "SERIALNUMBER",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "S",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.12": "T",
    "2.5.4.42": "G",
    "2.5.4.43": "I",
    "2.5.4.46": "dnQualifier",
    "0.9.2342.19200300.100.1.25": "DC",
    "1.2.840.113549.1.9.1": "E",
}
_SPECIAL = frozenset(',+="\n<>#;')


def dotnet_text(name: Name) -> str:
    """Write a name as .NET does: most specific part first, `CN=name, O=Org, C=US` (contract dps.md 6.3)."""
    return ", ".join(" + ".join(_attribute(a) for a in rdn) for rdn in reversed(name.rdns))


def _attribute(attribute: NameAttribute[str | bytes]) -> str:
    oid = attribute.oid.dotted_string
    return f"{_LABELS.get(oid, 'OID.' + oid)}={_quote(_text_of(attribute))}"


def _text_of(attribute: NameAttribute[str | bytes]) -> str:
    value = attribute.value
    return value if isinstance(value, str) else value.hex().upper()


def _quote(value: str) -> str:
    if value and value == value.strip() and not _SPECIAL.intersection(value):
        return value
    return '"' + value.replace('"', '""') + '"'


def name_key(name: Name) -> str:
    """Return a digest that is equal for equal names, whatever string types their attributes are written in.

    Attributes of one part count as a set, parts by order, values by letter case.
    """
    parts = (sorted(repr((attribute.oid.dotted_string, attribute.value)) for attribute in rdn) for rdn in name.rdns)
    return hashlib.sha256(repr(list(parts)).encode()).hexdigest()
