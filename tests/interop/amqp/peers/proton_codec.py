"""Each line of standard input is a tagged value and bytes: answer with what proton makes of either.

For "message" in place of a value, the answer is the message written again.
"""

import json
import struct
import sys
import uuid

from proton import (
    UNDESCRIBED,
    Array,
    Data,
    Described,
    Message,
    byte,
    char,
    decimal32,
    decimal64,
    decimal128,
    float32,
    int32,
    short,
    symbol,
    timestamp,
    ubyte,
    uint,
    ulong,
    ushort,
)

INTEGERS = {
    "ubyte": ubyte, "ushort": ushort, "uint": uint, "ulong": ulong, "byte": byte, "short": short, "int": int32,
    "long": int, "timestamp": timestamp,
}  # fmt: skip
CODES = {
    "null": Data.NULL, "boolean": Data.BOOL, "ubyte": Data.UBYTE, "ushort": Data.USHORT, "uint": Data.UINT,
    "ulong": Data.ULONG, "byte": Data.BYTE, "short": Data.SHORT, "int": Data.INT, "long": Data.LONG,
    "float": Data.FLOAT, "double": Data.DOUBLE, "decimal32": Data.DECIMAL32, "decimal64": Data.DECIMAL64,
    "decimal128": Data.DECIMAL128, "char": Data.CHAR, "timestamp": Data.TIMESTAMP, "uuid": Data.UUID,
    "binary": Data.BINARY, "string": Data.STRING, "symbol": Data.SYMBOL, "list": Data.LIST, "map": Data.MAP,
    "array": Data.ARRAY,
}  # fmt: skip
NAMES = {code: name for name, code in CODES.items()}
CLASSES = {cls: name for name, cls in INTEGERS.items()}


def value_of(tagged):
    kind, *content = tagged
    if kind in INTEGERS:
        return INTEGERS[kind](int(content[0]))
    match kind:
        case "null":
            return None
        case "boolean":
            return content[0]
        case "float":
            return float32(struct.unpack(">f", bytes.fromhex(content[0]))[0])
        case "double":
            return struct.unpack(">d", bytes.fromhex(content[0]))[0]
        case "char":
            return char(chr(content[0]))
        case "decimal32":
            return decimal32(int(content[0], 16))
        case "decimal64":
            return decimal64(int(content[0], 16))
        case "decimal128":
            return decimal128(bytes.fromhex(content[0]))
        case "uuid":
            return uuid.UUID(hex=content[0])
        case "binary":
            return bytes.fromhex(content[0])
        case "string":
            return content[0]
        case "symbol":
            return symbol(content[0])
        case "list":
            return [value_of(item) for item in content[0]]
        case "map":
            return {value_of(key): value_of(item) for key, item in content[0]}
        case "array":
            of, items, descriptor = content
            described = UNDESCRIBED if descriptor is None else value_of(descriptor)
            return Array(described, CODES[of], *map(value_of, items))
        case "described":
            return Described(value_of(content[0]), value_of(content[1]))


def tagged_of(value):
    match value:
        case None:
            return ["null"]
        case bool():
            return ["boolean", value]
        case float32():
            return ["float", struct.pack(">f", value).hex()]
        case float():
            return ["double", struct.pack(">d", value).hex()]
        case decimal32():
            return ["decimal32", f"{int(value):08x}"]
        case decimal64():
            return ["decimal64", f"{int(value):016x}"]
        case int():
            return [CLASSES[type(value)], str(int(value))]
        case decimal128():
            return ["decimal128", bytes(value).hex()]
        case char():
            return ["char", ord(value)]
        case symbol():
            return ["symbol", str(value)]
        case str():
            return ["string", value]
        case uuid.UUID():
            return ["uuid", value.hex]
        case bytes() | memoryview():
            return ["binary", bytes(value).hex()]
        case list():
            return ["list", [tagged_of(item) for item in value]]
        case dict():
            return ["map", [[tagged_of(key), tagged_of(item)] for key, item in value.items()]]
        case Array():
            descriptor = None if value.descriptor is UNDESCRIBED else tagged_of(value.descriptor)
            return ["array", NAMES[value.type], [tagged_of(item) for item in value.elements], descriptor]
        case Described():
            return ["described", tagged_of(value.descriptor), tagged_of(value.value)]
    raise TypeError(type(value))


for line in sys.stdin:
    tagged, data = json.loads(line)
    if tagged == "message":
        message = Message()
        message.decode(bytes.fromhex(data))
        print(json.dumps(message.encode().hex()))
        continue
    ours, theirs = Data(), Data()
    theirs.put_object(value_of(tagged))
    ours.decode(bytes.fromhex(data))
    ours.rewind()
    ours.next()
    print(json.dumps([tagged_of(ours.get_object()), theirs.encode().hex()]))
