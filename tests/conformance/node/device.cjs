// One device with Microsoft's Node SDK: register, and then connect to the assigned hub and send a message.
// Reads {host, idScope, registrationId, transport, payload, key | cert+certKey | tpm: {host, port}, send} as JSON on
// standard input, prints {result} or {error} as JSON on standard output. With {describe: true} and a TPM it only prints
// {result: {endorsementKey, registrationId}}.
'use strict';

const { readFileSync } = require('node:fs');
const { ProvisioningDeviceClient } = require('azure-iot-provisioning-device');
const { SymmetricKeySecurityClient } = require('azure-iot-security-symmetric-key');
const { X509Security } = require('azure-iot-security-x509');
const { TpmSecurityClient, TpmAuthenticationProvider } = require('azure-iot-security-tpm');
const { Tpm } = require('tss.js');
const { Client, Message } = require('azure-iot-device');

const wanted = JSON.parse(readFileSync(0, 'utf8'));

function provisioningTransport() {
  switch (wanted.transport) {
    case 'mqtt': return new (require('azure-iot-provisioning-device-mqtt').Mqtt)();
    case 'mqtt-ws': return new (require('azure-iot-provisioning-device-mqtt').MqttWs)();
    case 'amqp': return new (require('azure-iot-provisioning-device-amqp').Amqp)();
    case 'amqp-ws': return new (require('azure-iot-provisioning-device-amqp').AmqpWs)();
    case 'http': return new (require('azure-iot-provisioning-device-http').Http)();
    default: throw new Error(`unknown transport ${wanted.transport}`);
  }
}

function hubTransport() {
  switch (wanted.transport) {
    case 'mqtt-ws': return require('azure-iot-device-mqtt').MqttWs;
    case 'amqp': return require('azure-iot-device-amqp').Amqp;
    case 'amqp-ws': return require('azure-iot-device-amqp').AmqpWs;
    default: return require('azure-iot-device-mqtt').Mqtt;
  }
}

function security() {
  if (wanted.tpm) {
    return new TpmSecurityClient(wanted.registrationId, new Tpm(true, wanted.tpm.host, wanted.tpm.port));
  }
  return wanted.key
    ? new SymmetricKeySecurityClient(wanted.registrationId, wanted.key)
    : new X509Security(wanted.registrationId, { cert: wanted.cert, key: wanted.certKey });
}

function describe(tpm) {
  return new Promise((resolve, reject) => {
    tpm.getEndorsementKey((error, endorsementKey) => {
      if (error) {
        reject(error);
      } else {
        tpm.getRegistrationId((fault, registrationId) =>
          fault ? reject(fault) : resolve({ endorsementKey: endorsementKey.toString('base64'), registrationId }));
      }
    });
  });
}

function hubClient(state, credential) {
  if (wanted.tpm) {
    const provider = TpmAuthenticationProvider.fromTpmSecurityClient(state.deviceId, state.assignedHub, credential);
    return Client.fromAuthenticationProvider(provider, hubTransport());
  }
  const host = `HostName=${state.assignedHub};DeviceId=${state.deviceId}`;
  return Client.fromConnectionString(
    wanted.key ? `${host};SharedAccessKey=${wanted.key}` : `${host};x509=true`, hubTransport());
}

async function send(state, credential) {
  const client = hubClient(state, credential);
  if (wanted.cert) {
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
  const credential = security();
  if (wanted.describe) {
    return describe(credential);
  }
  const client = ProvisioningDeviceClient.create(wanted.host, wanted.idScope, provisioningTransport(), credential);
  if (wanted.payload) {
    client.setProvisioningPayload(wanted.payload);
  }
  const answer = await client.register();
  // With a TPM the SDK hands over the whole operation instead of its registration state.
  const state = wanted.tpm ? answer.registrationState : answer;
  if (wanted.send) {
    await send(state, credential);
  }
  return state;
}

main().then(
  (result) => { console.log(JSON.stringify({ result })); process.exit(0); },
  (error) => {
    const body = error.responseBody || error.result || null;
    // What ends an AMQP connection reaches the caller as AMQP's error, which is no Error.
    const name = error.name || error.condition;
    const message = error.message || error.description;
    console.log(JSON.stringify({ error: { name, message: message || '', body } }));
    process.exit(1);
  });
