// One device with Microsoft's Node SDK: register, and then connect to the assigned hub and send a message.
// Reads {host, idScope, registrationId, transport, payload, key | cert+certKey, send} as JSON on standard input,
// prints {result} or {error} as JSON on standard output.
'use strict';

const { readFileSync } = require('node:fs');
const { ProvisioningDeviceClient } = require('azure-iot-provisioning-device');
const { SymmetricKeySecurityClient } = require('azure-iot-security-symmetric-key');
const { X509Security } = require('azure-iot-security-x509');
const { Client, Message } = require('azure-iot-device');

const wanted = JSON.parse(readFileSync(0, 'utf8'));

function provisioningTransport() {
  switch (wanted.transport) {
    case 'mqtt': return new (require('azure-iot-provisioning-device-mqtt').Mqtt)();
    case 'mqtt-ws': return new (require('azure-iot-provisioning-device-mqtt').MqttWs)();
    case 'http': return new (require('azure-iot-provisioning-device-http').Http)();
    default: throw new Error(`unknown transport ${wanted.transport}`);
  }
}

function hubTransport() {
  const { Mqtt, MqttWs } = require('azure-iot-device-mqtt');
  return wanted.transport === 'mqtt-ws' ? MqttWs : Mqtt;
}

function security() {
  return wanted.key
    ? new SymmetricKeySecurityClient(wanted.registrationId, wanted.key)
    : new X509Security(wanted.registrationId, { cert: wanted.cert, key: wanted.certKey });
}

async function send(state) {
  const host = `HostName=${state.assignedHub};DeviceId=${state.deviceId}`;
  const client = Client.fromConnectionString(
    wanted.key ? `${host};SharedAccessKey=${wanted.key}` : `${host};x509=true`, hubTransport());
  if (!wanted.key) {
    await client.setOptions({ cert: wanted.cert, key: wanted.certKey });
  }
  await client.open();
  const message = new Message(JSON.stringify({ temperature: 21.5 }));
  message.contentType = 'application/json';
  message.contentEncoding = 'utf-8';
  message.properties.add('plant', 'north & south');
  await client.sendEvent(message);
  await client.close();
}

async function main() {
  const client = ProvisioningDeviceClient.create(wanted.host, wanted.idScope, provisioningTransport(), security());
  if (wanted.payload) {
    client.setProvisioningPayload(wanted.payload);
  }
  const state = await client.register();
  if (wanted.send) {
    await send(state);
  }
  return state;
}

main().then(
  (result) => { console.log(JSON.stringify({ result })); process.exit(0); },
  (error) => {
    const body = error.responseBody || error.result || null;
    console.log(JSON.stringify({ error: { name: error.name, message: error.message, body } }));
    process.exit(1);
  });
