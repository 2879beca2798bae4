// Microsoft's Node Event Hubs client comes, reads its first events and leaves, some times in a row.
// Reads a line of JSON: {connectionString, group, times}. Prints a line of JSON for each time: {event: 'left', read}.
'use strict';

const readline = require('node:readline');
const { EventHubConsumerClient, latestEventPosition } = require('@azure/event-hubs');
const { tell, failed } = require('./telling.cjs');

async function comeAndGo(wanted) {
  const client = new EventHubConsumerClient(wanted.group, wanted.connectionString);
  let read = 0;
  let subscription = null;
  await new Promise((resolve, reject) => {
    subscription = client.subscribe({
      processEvents: async (events) => {
        read += events.length;
        if (read > 0) resolve();
      },
      processError: async (error) => reject(error),
    }, { startPosition: latestEventPosition, maxBatchSize: 100 });
  });
  // Only a reader that waits for its next batch ends its session without waiting for the end of its link.
  await new Promise((resolve) => { setTimeout(resolve, 15); });
  await subscription.close();
  await client.close();
  tell('left', { read });
}

async function main(wanted) {
  for (let time = 0; time < wanted.times; time += 1) {
    await comeAndGo(wanted);
  }
  process.exit(0);
}

readline.createInterface({ input: process.stdin }).once('line', (line) => main(JSON.parse(line)).catch(failed));
