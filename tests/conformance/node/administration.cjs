// Bulk, queries that filter, groups by CA reference and registration states with Microsoft's Node service client.
// Reads {connectionString, prefix, groupId, devices} as JSON on standard input; prints {steps} or {error}.
'use strict';

const { readFileSync } = require('node:fs');
const { ProvisioningServiceClient } = require('azure-iot-provisioning-service');

const wanted = JSON.parse(readFileSync(0, 'utf8'));
const client = ProvisioningServiceClient.fromConnectionString(wanted.connectionString);

// As a promise it never settles: the SDK looks for the callback.
function bulk(mode, enrollments) {
  return new Promise((resolve, reject) => {
    client.runBulkEnrollmentOperation({ mode, enrollments }, (error, result) => (error ? reject(error) : resolve(result)));
  });
}

async function every(query) {
  const items = [];
  do {
    // As a promise, next() forgets where it was unless it is told.
    items.push(...(await query.next(query.continuationToken)).responseBody);
  } while (query.hasMoreResults);
  return items;
}

async function refusalOf(call) {
  try {
    await call();
    return null;
  } catch (error) {
    return { status: error.response.statusCode, message: error.message };
  }
}

async function main() {
  const steps = {};
  const enrollment = (number, more) => ({
    registrationId: `${wanted.prefix}-${number}`, attestation: { type: 'symmetricKey' }, ...more });
  const three = [0, 1, 2].map((number) => enrollment(number, { initialTwin: { tags: { number } } }));

  steps.created = await bulk('create', three);
  steps.again = await bulk('create', [three[0], enrollment(3)]);
  const stored = await Promise.all(three.map(
    async ({ registrationId }) => (await client.getIndividualEnrollment(registrationId)).responseBody));
  steps.updated = await bulk('updateIfMatchEtag', stored.map((each) => ({ ...each, provisioningStatus: 'disabled' })));
  steps.stale = await bulk('updateIfMatchEtag', stored);
  steps.updatedWithout = await bulk('update', [enrollment(0)]);

  const query = `SELECT * FROM enrollments WHERE STARTSWITH(registrationId, '${wanted.prefix}') `
    + "AND provisioningStatus = 'disabled' AND initialTwin.tags.number >= 1";
  steps.found = (await every(client.createIndividualEnrollmentQuery({ query }, 1))).map((each) => each.registrationId);
  steps.wrong = await refusalOf(
    () => client.createIndividualEnrollmentQuery({ query: 'SELECT * WHERE colour = 5' }).next());
  steps.deleted = await bulk('delete', [...three, enrollment(3), enrollment(4)]);

  steps.group = (await client.createOrUpdateEnrollmentGroup({
    enrollmentGroupId: `${wanted.prefix}-ca`,
    attestation: { type: 'x509', x509: { caReferences: { primary: 'root-1', secondary: 'root-2' } } },
  })).responseBody;
  steps.groups = (await every(client.createEnrollmentGroupQuery(
    { query: "SELECT * FROM enrollmentGroups WHERE attestation.x509.caReferences.secondary = 'ROOT-2'" })))
    .map((each) => each.enrollmentGroupId);
  await client.deleteEnrollmentGroup(`${wanted.prefix}-ca`);

  const states = (query) => every(client.createEnrollmentGroupDeviceRegistrationStateQuery(
    { query }, wanted.groupId, 1));
  steps.states = (await states('SELECT *')).map((each) => [each.registrationId, each.status]);
  const state = (await client.getDeviceRegistrationState(wanted.devices[0])).responseBody;
  await client.deleteDeviceRegistrationState(state);
  steps.left = (await states('')).map((each) => each.registrationId);
  return steps;
}

main().then(
  (steps) => { console.log(JSON.stringify({ steps })); process.exit(0); },
  (error) => {
    console.log(JSON.stringify({ error: { name: error.name, message: error.message, body: error.responseBody || null } }));
    process.exit(1);
  });
