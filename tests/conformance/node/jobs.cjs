// Scheduled jobs with Microsoft's Node service client.
// Reads {connectionString, prefix, deviceId} as JSON on standard input; prints {steps} or {error}.
'use strict';

const { readFileSync } = require('node:fs');
const { JobClient, Registry } = require('azure-iothub');

const wanted = JSON.parse(readFileSync(0, 'utf8'));
const client = JobClient.fromConnectionString(wanted.connectionString);
const registry = Registry.fromConnectionString(wanted.connectionString);
const condition = `deviceId = '${wanted.deviceId}'`;

async function ended(jobId) {
  for (let tries = 0; tries < 300; tries += 1) {
    const { jobStatus } = await client.getJob(jobId);
    if (['completed', 'failed', 'cancelled'].includes(jobStatus.status)) {
      return jobStatus;
    }
    await new Promise((resolve) => { setTimeout(resolve, 100); });
  }
  throw new Error(`${jobId} does not end`);
}

// As a promise, next() forgets where it was; with a callback it does not.
function every(query) {
  return new Promise((resolve, reject) => {
    const items = [];
    const more = (error, page) => {
      if (error) {
        reject(error);
        return;
      }
      items.push(...page);
      if (query.hasMoreResults) {
        query.next(more);
      } else {
        resolve(items);
      }
    };
    query.next(more);
  });
}

async function main() {
  const steps = {};
  const [update, method, later] = ['update', 'method', 'later'].map((name) => `${wanted.prefix}-${name}`);
  const patch = { etag: '*', tags: { site: 'south' } };
  await client.scheduleTwinUpdate(update, condition, patch, new Date(), 60);
  steps.update = await ended(update);
  await client.scheduleDeviceMethod(
    method, condition, { methodName: 'say', payload: 'hello', responseTimeoutInSeconds: 5 }, new Date(), 60);
  steps.method = await ended(method);
  steps.tags = (await registry.getTwin(wanted.deviceId)).responseBody.tags;
  steps.listed = (await every(client.createQuery(undefined, undefined, 1))).map((job) => job.jobId);
  steps.rows = await every(registry.createQuery(`SELECT * FROM devices.jobs WHERE devices.jobs.jobId = '${update}'`));
  await client.scheduleTwinUpdate(later, condition, patch, new Date(Date.now() + 3600000), 60);
  await client.cancelJob(later);
  steps.cancelled = (await client.getJob(later)).jobStatus.status;
  try {
    await client.scheduleTwinUpdate(update, condition, patch, new Date(), 60);
  } catch (error) {
    steps.taken = error.response.statusCode;
  }
  console.log(JSON.stringify({ steps }));
}

main().then(() => process.exit(0), (error) => {
  console.log(JSON.stringify({ error: String(error.stack || error) }));
  process.exit(1);
});
