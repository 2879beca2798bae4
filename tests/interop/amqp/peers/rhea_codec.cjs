// Each line of standard input is a tagged value and bytes; answer with rhea's bytes for the one and value of the other.
'use strict';

const path = require('path');
const types = require(path.join(process.env.RHEA, 'lib', 'types.js'));

const CODES = {
    null: 0x40, boolean: 0x56, ubyte: 0x50, ushort: 0x60, uint: 0x70, ulong: 0x80, byte: 0x51, short: 0x61, int: 0x71,
    long: 0x81, float: 0x72, double: 0x82, decimal32: 0x74, decimal64: 0x84, decimal128: 0x94, char: 0x73,
    timestamp: 0x83, uuid: 0x98, binary: 0xb0, string: 0xb1, symbol: 0xb3, list: 0xd0, map: 0xd1, array: 0xf0,
};
const NAMES = {
    0x41: 'boolean', 0x42: 'boolean', 0x43: 'uint', 0x52: 'uint', 0x44: 'ulong', 0x53: 'ulong', 0x54: 'int',
    0x55: 'long', 0xa0: 'binary', 0xa1: 'string', 0xa3: 'symbol', 0x45: 'list', 0xc0: 'list', 0xc1: 'map', 0xe0: 'array',
};
for (const [name, code] of Object.entries(CODES)) NAMES[code] = name;
const INTEGERS = ['ubyte', 'ushort', 'uint', 'ulong', 'byte', 'short', 'int', 'long', 'timestamp'];

const eight = (write, number) => { const data = Buffer.alloc(8); data[write](BigInt(number)); return data; };
const bare = ([kind, content]) => {
    if (kind === 'float') return Buffer.from(content, 'hex').readFloatBE();
    if (kind === 'double') return Buffer.from(content, 'hex').readDoubleBE();
    if (kind === 'ulong') return eight('writeBigUInt64BE', content);
    if (kind === 'long' || kind === 'timestamp') return eight('writeBigInt64BE', content);
    if (INTEGERS.includes(kind)) return Number(content);
    if (['uuid', 'binary', 'decimal32', 'decimal64', 'decimal128'].includes(kind)) return Buffer.from(content, 'hex');
    return content;
};

function typedOf(tagged) {
    const [kind, content, second, third] = tagged;
    switch (kind) {
    case 'null': return types.Null();
    case 'list': return types.wrap_list(content.map(typedOf));
    case 'map': return types.Map32(content.flat().map(typedOf));
    case 'array': return types.Array32(second.map(bare), CODES[content], third ? typedOf(third) : undefined);
    case 'described': return types.described_nc(typedOf(content), typedOf(second));
    case 'decimal32': return types.Decimal32(bare(tagged));
    case 'decimal64': return types.Decimal64(bare(tagged));
    case 'decimal128': return types.Decimal128(bare(tagged));
    default: return types['wrap_' + kind](bare(tagged));
    }
}

function plainOf(kind, value) {
    if (kind === 'null') return ['null'];
    if (kind === 'boolean') return ['boolean', Boolean(value)];
    if (Buffer.isBuffer(value) && kind === 'ulong') return [kind, String(value.readBigUInt64BE())];
    if (Buffer.isBuffer(value) && INTEGERS.includes(kind)) return [kind, String(value.readBigInt64BE())];
    if (INTEGERS.includes(kind)) return [kind, String(value)];
    if (kind === 'float') { const data = Buffer.alloc(4); data.writeFloatBE(value); return [kind, data.toString('hex')]; }
    if (kind === 'double') { const data = Buffer.alloc(8); data.writeDoubleBE(value); return [kind, data.toString('hex')]; }
    if (Buffer.isBuffer(value)) return [kind, value.toString('hex')];
    return [kind, value];
}

function taggedOf(typed, described = true) {
    if (described && typed.descriptor) return ['described', taggedOf(typed.descriptor), taggedOf(typed, false)];
    const kind = NAMES[typed.type.typecode];
    switch (kind) {
    case 'list': return [kind, typed.value.map((item) => taggedOf(item))];
    case 'map': {
        const pairs = [];
        for (let i = 0; i < typed.value.length; i += 2) pairs.push([taggedOf(typed.value[i]), taggedOf(typed.value[i + 1])]);
        return [kind, pairs];
    }
    case 'array': {
        const {typecode, descriptor} = typed.array_constructor;
        return [kind, NAMES[typecode], typed.value.map((item) => taggedOf(item)), descriptor ? taggedOf(descriptor) : null];
    }
    default: return plainOf(kind, typed.value);
    }
}

function answer(tagged, data) {
    const writer = new types.Writer();
    writer.write(typedOf(tagged));
    return [taggedOf(new types.Reader(Buffer.from(data, 'hex')).read()), writer.toBuffer().toString('hex')];
}

require('readline').createInterface({input: process.stdin}).on('line', (line) => {
    try {
        console.log(JSON.stringify(answer(...JSON.parse(line))));
    } catch (error) {
        console.log(JSON.stringify([String(error.stack || error.message), '']));
    }
});
