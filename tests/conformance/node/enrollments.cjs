// The life of an enrollment with Microsoft's Node service client. Reads {connectionString, registrationId, groupId,
// key, signer} as JSON on standard input; prints {steps} or {error} as JSON on standard output.
'use strict';

const { readFileSync } = require('node:fs');
const { ProvisioningServiceClient } = require('azure-iot-provisioning-service');

const wanted = JSON.parse(readFileSync(0, 'utf8'));

async function statusOf(call) {
  try {
    await call();
    return 200;
  } catch (error) {
    return error.response ? error.response.statusCode : String(error);
  }
}

async function main() {
  const client = ProvisioningServiceClient.fromConnectionString(wanted.connectionString);
  const steps = {};

  const created = (await client.createOrUpdateIndividualEnrollment({
    registrationId: wanted.registrationId,
    deviceId: 'wanted-name',
    attestation: { type: 'symmetricKey', symmetricKey: { primaryKey: wanted.key, secondaryKey: wanted.key } },
    initialTwin: { tags: { site: 'north' }, properties: { desired: { interval: 5 } } },
  })).responseBody;
  steps.created = created;
  steps.read = (await client.getIndividualEnrollment(wanted.registrationId)).responseBody;
  steps.mechanism = (await client.getIndividualEnrollmentAttestationMechanism(wanted.registrationId)).responseBody;
  steps.updated = (await client.createOrUpdateIndividualEnrollment(
    { ...created, provisioningStatus: 'disabled' })).responseBody;
  steps.stale = await statusOf(() => client.createOrUpdateIndividualEnrollment({ ...created, deviceId: 'other' }));

  steps.group = (await client.createOrUpdateEnrollmentGroup({
    enrollmentGroupId: wanted.groupId,
    attestation: { type: 'x509', x509: { signingCertificates: { primary: { certificate: wanted.signer } } } },
  })).responseBody;
  steps.groupMechanism = (await client.getEnrollmentGroupAttestationMechanism(wanted.groupId)).responseBody;

  const query = client.createIndividualEnrollmentQuery({ query: 'SELECT * FROM enrollments' }, 2);
  steps.queried = [];
  do {
    // As a promise, next() forgets where it was unless it is told.
    const page = await query.next(query.continuationToken);
    steps.queried.push(...page.responseBody.map((enrollment) => enrollment.registrationId));
  } while (query.hasMoreResults);

  await client.deleteIndividualEnrollment(steps.updated);
  await client.deleteEnrollmentGroup(wanted.groupId);
  steps.missing = await statusOf(() => client.getIndividualEnrollment(wanted.registrationId));
  return steps;
}

main().then(
  (steps) => { console.log(JSON.stringify({ steps })); process.exit(0); },
  (error) => {
    console.log(JSON.stringify({ error: { name: error.name, message: error.message, body: error.responseBody || null } }));
    process.exit(1);
  });
