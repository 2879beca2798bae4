// One device or module with Microsoft's Node SDK, at home on its hub until standard input ends.
// Reads a first line of JSON: {connectionString, transport, cert, certKey, module, tokenSeconds, send, twin, method,
// batch, messages, noRetry}. With `tokenSeconds`, tokens live so long and are renewed at half of it.
// Each further line, {text, properties}, is sent as telemetry.
// Prints one line of JSON for whatever happens: {event, ...}.
'use strict';

const readline = require('node:readline');
const { Client, ModuleClient, Message, SharedAccessKeyAuthenticationProvider } = require('azure-iot-device');

const { NoRetry } = require('azure-iot-common');
const { tell } = require('./telling.cjs');

const TRANSPORTS = {
  mqtt: () => require('azure-iot-device-mqtt').Mqtt,
  'mqtt-ws': () => require('azure-iot-device-mqtt').MqttWs,
  amqp: () => require('azure-iot-device-amqp').Amqp,
  'amqp-ws': () => require('azure-iot-device-amqp').AmqpWs,
  http: () => require('azure-iot-device-http').Http,
};
const OUTCOMES = ['complete', 'abandon', 'reject'];

async function follow(client, twin, patch) {
  tell('twin', { desired: twin.properties.desired, reported: twin.properties.reported });
  twin.on('properties.desired', (change) => tell('desired', { change }));
  await new Promise((resolve, reject) =>
    twin.properties.reported.update(patch, (error) => (error ? reject(error) : resolve())));
  tell('reported');
  await new Promise((resolve) => {
    twin.properties.reported.update({ ['x'.repeat(2000)]: 1 }, (error) => {
      tell('refused', { message: error ? String(error.message) : null });
      resolve();
    });
  });
}

// Listening starts a subscription of its own accord: its end cannot be waited for.
function listen(client) {
  client.on('message', (message) => {
    const text = message.getData().toString();
    tell('message', {
      text,
      id: message.messageId,
      correlationId: message.correlationId,
      to: message.to,
      ack: message.ack,
      contentType: message.contentType,
      properties: message.properties.propertyList,
    });
    const outcome = OUTCOMES.find((each) => text.startsWith(each)) || 'complete';
    client[outcome](message).then(
      () => tell('settled', { text, outcome }),
      (error) => tell('unsettled', { text, name: error.name }));
  });
}

function made(wanted) {
  const transport = TRANSPORTS[wanted.transport]();
  if (!wanted.tokenSeconds) {
    return (wanted.module ? ModuleClient : Client).fromConnectionString(wanted.connectionString, transport);
  }
  const tokens = SharedAccessKeyAuthenticationProvider.fromConnectionString(
    wanted.connectionString, wanted.tokenSeconds, wanted.tokenSeconds / 2);
  tokens.on('newTokenAvailable', () => tell('renewed'));
  return Client.fromAuthenticationProvider(tokens, transport);
}

function say(client, { text, properties }) {
  const message = new Message(text);
  for (const [name, value] of Object.entries(properties || {})) {
    message.properties.add(name, value);
  }
  client.sendEvent(message).then(
    () => tell('said', { text }),
    (error) => tell('unsaid', { text, name: error.name, message: error.message }));
}

async function main(wanted, over) {
  const client = made(wanted);
  if (wanted.noRetry) {
    client.setRetryPolicy(new NoRetry());
  }
  const certificate = wanted.cert ? { cert: wanted.cert, key: wanted.certKey } : {};
  // Over HTTP the SDK calls back only where it hears how often to ask.
  const polling = wanted.transport === 'http' ? { http: { receivePolicy: { interval: 1 } } } : {};
  if (wanted.cert || wanted.transport === 'http') {
    await client.setOptions({ ...certificate, ...polling });
  }
  client.on('disconnect', () => tell('disconnect'));
  client.on('error', (error) => tell('error', { name: error.name, message: error.message }));
  await client.open();
  tell('open');
  if (wanted.method) {
    client[wanted.module ? 'onMethod' : 'onDeviceMethod'](wanted.method, (request, response) => {
      response.send(201, { said: request.payload }, (error) => tell('answered', { error: error ? error.name : null }));
    });
  }
  if (wanted.messages) {
    listen(client);
  }
  if (wanted.twin) {
    await follow(client, await client.getTwin(), wanted.twin);
  }
  if (wanted.send) {
    const message = new Message(JSON.stringify(wanted.send));
    message.contentType = 'application/json';
    message.contentEncoding = 'utf-8';
    message.messageId = '8f7c5a5e-6f4e-4a53-a2f3-0b7c0e6f1a11';
    message.properties.add('plant', 'north & south');
    await client.sendEvent(message);
    tell('sent');
  }
  if (wanted.batch) {
    await client.sendEventBatch(wanted.batch.map((each) => new Message(JSON.stringify(each))));
    tell('sent batch');
  }
  lines.on('line', (line) => say(client, JSON.parse(line)));
  tell('ready');
  await over;
  await client.close();
  tell('closed');
}

const lines = readline.createInterface({ input: process.stdin });
const over = new Promise((resolve) => lines.on('close', resolve));
lines.once('line', (line) => {
  main(JSON.parse(line), over).then(
    () => process.exit(0),
    (error) => {
      tell('failed', { name: error.name, message: error.message });
      process.exit(1);
    });
});
