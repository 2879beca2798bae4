// A reader of feedback with rhea that comes back by itself, as rhea does it; it is ended from outside.
// Reads {host, user, token, ca} as JSON on the first line of standard input; prints one line of JSON each time that its
// link is open: {event}.
'use strict';

const { readFileSync } = require('node:fs');
const readline = require('node:readline');
const rhea = require('rhea');

const container = rhea.create_container();
container.on('receiver_open', () => console.log(JSON.stringify({ event: 'attached' })));
container.on('disconnected', () => {}); // rhea writes of it where nobody listens

readline.createInterface({ input: process.stdin }).once('line', (line) => {
  const wanted = JSON.parse(line);
  const connection = container.connect({
    host: wanted.host, hostname: wanted.host, port: 5671, transport: 'tls', ca: readFileSync(wanted.ca),
    username: wanted.user, password: wanted.token, max_reconnect_delay: 1000,
  });
  connection.open_receiver({ source: { address: 'messages/servicebound/feedback' } });
});
