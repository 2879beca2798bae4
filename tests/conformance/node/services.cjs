// One service with Microsoft's Node SDK, until standard input ends.
// Reads a first line of JSON: {connectionString, transport, feedback, files}; then lines of messages to send:
// {to, text, messageId, ack, properties}. Prints one line of JSON for whatever happens: {event, ...}.
'use strict';

const readline = require('node:readline');
const { Client } = require('azure-iothub');
const { AmqpWs } = require('azure-iothub/dist/amqp_ws.js');
const { Message } = require('azure-iot-common');
const { tell, failed } = require('./telling.cjs');

async function send(client, wanted) {
  const message = new Message(wanted.text);
  message.messageId = wanted.messageId;
  message.ack = wanted.ack;
  for (const [name, value] of Object.entries(wanted.properties || {})) {
    message.properties.add(name, value);
  }
  try {
    await client.send(wanted.to, message);
    tell('sent', { messageId: wanted.messageId });
  } catch (error) {
    tell('rejected', { messageId: wanted.messageId, name: error.name });
  }
}

async function listen(client, get, event) {
  const receiver = await new Promise((resolve, reject) =>
    client[get]((error, found) => (error ? reject(error) : resolve(found))));
  receiver.on('error', failed);
  receiver.on('message', (message) => {
    tell(event, { body: JSON.parse(message.getData().toString()) });
    receiver.complete(message, (error) => (error ? failed(error) : tell('completed', { of: event })));
  });
}

async function main(first, lines) {
  const client = first.transport === 'amqp-ws'
    ? Client.fromConnectionString(first.connectionString, AmqpWs)
    : Client.fromConnectionString(first.connectionString);
  await client.open();
  if (first.feedback) {
    await listen(client, 'getFeedbackReceiver', 'feedback');
  }
  if (first.files) {
    await listen(client, 'getFileNotificationReceiver', 'file');
  }
  tell('ready');
  for await (const line of lines) {
    await send(client, JSON.parse(line));
  }
  await client.close();
  tell('closed');
}

async function run() {
  const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  await main(JSON.parse((await lines.next()).value), lines);
}

run().then(() => process.exit(0), failed);
