// Identities, modules, twins, methods, queries, bulk and statistics with Microsoft's Node service client.
// Reads {connectionString, prefix, connected, keys} as JSON on standard input; prints {steps} or {error}.
// `connected` is a device that answers the method `say`.
'use strict';

const { readFileSync } = require('node:fs');
const { Client, Registry } = require('azure-iothub');

const wanted = JSON.parse(readFileSync(0, 'utf8'));
const registry = Registry.fromConnectionString(wanted.connectionString);
const service = Client.fromConnectionString(wanted.connectionString);
const [one, two, three] = [1, 2, 3].map((number) => `${wanted.prefix}-${number}`);
const [primaryKey, secondaryKey] = wanted.keys;

async function refusalOf(call) {
  try {
    await call();
    return null;
  } catch (error) {
    return { name: error.name, status: error.response ? error.response.statusCode : null };
  }
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

async function identities(steps) {
  const keys = { type: 'sas', symmetricKey: { primaryKey, secondaryKey } };
  steps.created = (await registry.create({ deviceId: one, status: 'enabled', authentication: keys })).responseBody;
  steps.again = await refusalOf(() => registry.create({ deviceId: one }));
  steps.updated = (await registry.update({ ...steps.created, status: 'disabled', statusReason: 'resting' })).responseBody;
  steps.missing = await refusalOf(() => registry.get(`${wanted.prefix}-none`));
  steps.added = (await registry.addDevices([{ deviceId: two }, { deviceId: three, tags: { floor: 3 } }])).responseBody;
  steps.addedAgain = await refusalOf(() => registry.addDevices([{ deviceId: two }]));
  steps.bulkUpdated = (await registry.updateDevices([{ deviceId: two, status: 'disabled' }], true)).responseBody;
  steps.listed = (await registry.list()).responseBody.map((each) => each.deviceId);
}

async function modules(steps) {
  const module = await registry.addModule({ deviceId: two, moduleId: 'camera', managedBy: 'me' });
  steps.module = module.responseBody;
  steps.modules = (await registry.getModulesOnDevice(two)).responseBody.map((each) => each.moduleId);
  const twin = (await registry.getModuleTwin(two, 'camera')).responseBody;
  steps.moduleTwin = (await registry.updateModuleTwin(
    two, 'camera', { properties: { desired: { lens: 50 } } }, twin.etag)).responseBody.properties.desired.lens;
  await registry.removeModule(two, 'camera');
  steps.moduleGone = await refusalOf(() => registry.getModule(two, 'camera'));
}

async function twins(steps) {
  const twin = (await registry.getTwin(one)).responseBody;
  const patch = { tags: { site: 'north', rows: 4 }, properties: { desired: { interval: 30 } } };
  const patched = (await registry.updateTwin(one, patch, twin.etag)).responseBody;
  steps.patched = { tags: patched.tags, interval: patched.properties.desired.interval, version: patched.version };
  steps.stale = await refusalOf(() => registry.updateTwin(one, patch, twin.etag));
  const own = (await registry.getTwin(one)).responseBody;
  await new Promise((resolve, reject) => {
    own.update({ tags: { site: null } }, (error) => (error ? reject(error) : resolve()));
  });
  steps.tags = (await registry.getTwin(one)).responseBody.tags;
  const ours = `deviceId IN ['${one}', '${two}', '${three}']`;
  const count = `SELECT COUNT() AS n FROM devices WHERE ${ours}`;
  steps.counted = await every(registry.createQuery(count));
  const all = `SELECT * FROM devices WHERE ${ours}`;
  steps.found = (await every(registry.createQuery(all, 2))).map((each) => each.deviceId).sort();
  steps.refused = await refusalOf(() => every(registry.createQuery('SELECT FROM devices')));
  steps.statistics = (await registry.getRegistryStatistics()).responseBody;
}

async function methods(steps) {
  const call = { methodName: 'say', payload: { word: 'hi' }, responseTimeoutInSeconds: 10, connectTimeoutInSeconds: 5 };
  steps.answer = (await service.invokeDeviceMethod(wanted.connected, call)).result;
  steps.absent = await refusalOf(
    () => service.invokeDeviceMethod(one, { methodName: 'say', payload: null, responseTimeoutInSeconds: 5 }));
}

async function removal(steps) {
  const current = (await registry.get(two)).responseBody;
  steps.removed = (await registry.removeDevices([{ deviceId: one }, current], true)).responseBody;
  await registry.delete(three);
  steps.gone = await refusalOf(() => registry.get(three));
}

async function main() {
  const steps = {};
  for (const part of [identities, modules, twins, methods, removal]) {
    await part(steps);
  }
  return steps;
}

main().then(
  (steps) => console.log(JSON.stringify({ steps })),
  (error) => console.log(JSON.stringify({ error: { name: error.name, message: error.message, stack: error.stack } })));
