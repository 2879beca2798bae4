// How the scripts that live for a while say what happens: one line of JSON each, {event, ...}.
'use strict';

function tell(event, more) {
  console.log(JSON.stringify({ event, ...more }));
}

// Tell the error, and end.
function failed(error) {
  tell('failed', { name: error.name, message: error.message });
  process.exit(1);
}

module.exports = { tell, failed };
