// Imports and exports with Microsoft's Node service client.
// Reads {connectionString, container, held, deviceId} as JSON on standard input; prints {steps} or {error}.
'use strict';

const { readFileSync } = require('node:fs');
const { Registry } = require('azure-iothub');

const wanted = JSON.parse(readFileSync(0, 'utf8'));
const registry = Registry.fromConnectionString(wanted.connectionString);

const body = (answer) => answer.responseBody || answer;

async function ended(jobId) {
  for (let tries = 0; tries < 300; tries += 1) {
    const job = body(await registry.getJob(jobId));
    if (['completed', 'failed', 'cancelled'].includes(job.status)) {
      return job;
    }
    await new Promise((resolve) => { setTimeout(resolve, 100); });
  }
  throw new Error(`${jobId} does not end`);
}

async function main() {
  const steps = {};
  steps.exported = await ended(body(await registry.exportDevicesToBlob(wanted.container, false)).jobId);
  await registry.delete(wanted.deviceId);
  steps.imported = await ended(body(await registry.importDevicesFromBlob(wanted.container, wanted.container)).jobId);
  steps.back = body(await registry.get(wanted.deviceId)).deviceId;
  const held = body(await registry.importDevicesFromBlob(wanted.held, wanted.held)).jobId;
  try {
    await registry.exportDevicesToBlob(wanted.container, true);
  } catch (error) {
    steps.second = [error.response.statusCode, error.name];
  }
  await registry.cancelJob(held);
  steps.cancelled = (await ended(held)).status;
  steps.listed = body(await registry.listJobs()).map((job) => job.jobId);
  steps.held = held;
  try {
    await registry.exportDevicesToBlob('https://127.0.0.1:1/container?sig=x', true);
  } catch (error) {
    steps.refused = [error.response.statusCode, error.name];
  }
  return steps;
}

main().then(
  (steps) => { console.log(JSON.stringify({ steps })); process.exit(0); },
  (error) => {
    console.log(JSON.stringify({ error: String(error.stack || error) }));
    process.exit(1);
  });
