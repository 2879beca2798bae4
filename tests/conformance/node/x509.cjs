// One device with a certificate and Microsoft's Node SDK: connects to a hub and sends a message.
// Reads {host, deviceId, transport, cert, certKey} as JSON on standard input, prints {result} or {error}.
'use strict';

const { readFileSync } = require('node:fs');
const { Client, Message } = require('azure-iot-device');

const TRANSPORTS = {
  mqtt: () => require('azure-iot-device-mqtt').Mqtt,
  'mqtt-ws': () => require('azure-iot-device-mqtt').MqttWs,
  amqp: () => require('azure-iot-device-amqp').Amqp,
  'amqp-ws': () => require('azure-iot-device-amqp').AmqpWs,
  http: () => require('azure-iot-device-http').Http,
};
const wanted = JSON.parse(readFileSync(0, 'utf8'));

async function main() {
  const text = `HostName=${wanted.host};DeviceId=${wanted.deviceId};x509=true`;
  const client = Client.fromConnectionString(text, TRANSPORTS[wanted.transport]());
  const set = client.setOptions({ cert: wanted.cert, key: wanted.certKey });
  if (wanted.transport !== 'http') {
    await set; // over HTTP it never says that it is done
  }
  await client.open();
  await client.sendEvent(new Message(JSON.stringify({ temperature: 21.5 })));
  await client.close();
  return 'sent';
}

main().then(
  (result) => { console.log(JSON.stringify({ result })); process.exit(0); },
  (error) => {
    console.log(JSON.stringify({ error: { name: error.name || error.condition, message: error.message || '' } }));
    process.exit(1);
  });
