// One reader of a hub's events with Microsoft's Node Event Hubs client, until standard input ends.
// Reads a first line of JSON: {connectionString, group, websocket, ca, start, ownerLevel, partition}.
// Prints one line of JSON for whatever happens: {event, ...}.
'use strict';

const readline = require('node:readline');
const { EventHubConsumerClient, earliestEventPosition, latestEventPosition } = require('@azure/event-hubs');
const { tell, failed } = require('./telling.cjs');

const STARTS = { earliest: earliestEventPosition, latest: latestEventPosition };

async function main(wanted) {
  const options = wanted.websocket ? { webSocketOptions: { webSocket: require('ws') } } : {};
  const client = new EventHubConsumerClient(wanted.group, wanted.connectionString, options);
  tell('eventHub', await client.getEventHubProperties());
  for (const partition of await client.getPartitionIds()) {
    tell('partition', await client.getPartitionProperties(partition));
  }
  const handlers = {
    processInitialize: async (context) => tell('initialized', { partition: context.partitionId }),
    processEvents: async (events, context) => {
      for (const each of events) {
        tell('message', {
          partition: context.partitionId,
          body: each.body,
          sequenceNumber: each.sequenceNumber,
          offset: String(each.offset),
          enqueued: each.enqueuedTimeUtc,
          properties: each.properties,
          system: each.systemProperties,
          contentType: each.contentType,
          messageId: each.messageId,
          last: context.lastEnqueuedEventProperties,
        });
      }
    },
    processError: async (error) => tell('error', { name: error.name, code: error.code, message: error.message }),
    processClose: async (reason, context) => tell('left', { reason, partition: context.partitionId }),
  };
  const chosen = { startPosition: STARTS[wanted.start] || wanted.start, maxWaitTimeInSeconds: 1 };
  if (wanted.ownerLevel !== undefined) {
    chosen.ownerLevel = wanted.ownerLevel;
  }
  chosen.trackLastEnqueuedEventProperties = Boolean(wanted.metrics);
  const subscription = wanted.partition === undefined
    ? client.subscribe(handlers, chosen)
    : client.subscribe(wanted.partition, handlers, chosen);
  tell('ready');
  return async () => {
    await subscription.close();
    await client.close();
    tell('closed');
    process.exit(0);
  };
}

const lines = readline.createInterface({ input: process.stdin });
let leave = null;
lines.once('line', (line) => {
  leave = main(JSON.parse(line));
  leave.catch(failed);
});
lines.once('close', async () => {
  try {
    await (await leave)();
  } catch (error) {
    failed(error);
  }
});
