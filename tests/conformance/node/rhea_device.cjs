// One registration by hand with rhea: SASL PLAIN with a token, or a certificate without SASL; over TLS or WebSocket.
// Reads {host, idScope, registrationId, apiVersion, ca, token | cert+certKey, websocket} as JSON on standard input,
// prints {result, correlationId} or {error} as JSON on standard output.
'use strict';

const { readFileSync } = require('node:fs');
const rhea = require('rhea');

const wanted = JSON.parse(readFileSync(0, 'utf8'));
const address = `${wanted.idScope}/registrations/${wanted.registrationId}`;
const properties = { 'com.microsoft:api-version': wanted.apiVersion };
const container = rhea.create_container();

function finish(answer) {
  console.log(JSON.stringify(answer));
  process.exit(0);
}

function told(condition) {
  return { condition: condition.condition, body: JSON.parse(condition.description), info: condition.info };
}

container.on('connection_open', (context) => {
  context.connection.open_receiver({ source: { address }, properties });
  context.connection.open_sender({ target: { address }, properties });
});
container.once('sendable', (context) => {
  context.sender.send({
    correlation_id: 7,
    application_properties: { 'iotdps-operation-type': 'iotdps-register' },
    body: rhea.message.data_section(Buffer.from(JSON.stringify({ registrationId: wanted.registrationId }))),
  });
});
container.on('message', (context) => finish({
  result: JSON.parse(context.message.body.content.toString()), correlationId: context.message.correlation_id,
}));
container.on('rejected', (context) => finish({ error: told(context.delivery.remote_state.error) }));
container.on('connection_error', (context) => finish({ error: told(context.connection.error) }));
container.on('error', (error) => finish({ error: { condition: String(error) } }));
container.on('disconnected', (context) => finish({ error: { condition: `disconnected ${context.error}` } }));

const options = {
  host: wanted.host, hostname: wanted.host, port: 5671, transport: 'tls', reconnect: false, ca: readFileSync(wanted.ca),
  cert: wanted.cert, key: wanted.certKey,
};
if (wanted.token) {
  options.username = address;
  options.password = wanted.token;
}
if (wanted.websocket) {
  const connect = rhea.websocket_connect(require('ws'));
  const url = `wss://${wanted.host}/$iothub/websocket?iothub-no-client-cert=true`;
  options.connection_details = connect(url, ['AMQPWSB10'], { ca: options.ca, cert: wanted.cert, key: wanted.certKey });
}
container.connect(options);
