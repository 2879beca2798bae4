// One device that uploads a file with Microsoft's Node SDK.
// Reads {connectionString, transport, blobName, size} as JSON on standard input, prints {result} or {error}.
'use strict';

const { readFileSync } = require('node:fs');
const { Readable } = require('node:stream');
const { Client } = require('azure-iot-device');

const TRANSPORTS = {
  mqtt: () => require('azure-iot-device-mqtt').Mqtt,
  amqp: () => require('azure-iot-device-amqp').Amqp,
  http: () => require('azure-iot-device-http').Http,
};
const wanted = JSON.parse(readFileSync(0, 'utf8'));

async function main() {
  const client = Client.fromConnectionString(wanted.connectionString, TRANSPORTS[wanted.transport]());
  const content = Buffer.alloc(wanted.size, 'homeport');
  await new Promise((resolve, reject) =>
    client.uploadToBlob(wanted.blobName, Readable.from([content]), wanted.size, (error) =>
      (error ? reject(error) : resolve())));
  return { size: wanted.size };
}

main().then(
  (result) => {
    console.log(JSON.stringify({ result }));
    process.exit(0);
  },
  (error) => {
    console.log(JSON.stringify({ error: { name: error.name, message: error.message } }));
    process.exit(1);
  });
