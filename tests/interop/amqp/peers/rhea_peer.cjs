// rhea as a peer: a client or a server that does what its JSON argument says.
'use strict';

const rhea = require(process.env.RHEA);

const role = process.argv[2];
const wanted = JSON.parse(process.argv[3]);

const bodyOf = (size) => Buffer.from(Uint8Array.from({length: size}, (_, i) => i % 251));
const told = (message) => {
    const content = message.body.content !== undefined ? message.body.content : message.body;
    return [content.length, content.equals(bodyOf(content.length)), String(message.correlation_id)];
};
const report = (values) => console.log(JSON.stringify(values));
const errorOf = (kind, error) => [kind, error && error.condition, error && error.description, (error && error.info) || null];

function client() {
    const container = rhea.create_container({id: 'rhea'});
    const toSend = [...(wanted.send || [])];
    const outcomes = [], received = [], errors = [];
    let drained = false, finished = false;
    const options = {host: '127.0.0.1', port: wanted.port, reconnect: false, max_frame_size: wanted.max_frame_size};
    if (wanted.idle) options.idle_time_out = wanted.idle * 1000;
    if (wanted.mechanism === 'PLAIN') Object.assign(options, {username: wanted.user, password: wanted.password});
    if (wanted.mechanism === 'ANONYMOUS') options.username = 'anybody';

    const connection = container.connect(options);
    const finish = () => {
        if (!finished && !wanted.linger) { finished = true; connection.close(); }
    };
    container.on('connection_open', () => {
        if (toSend.length) connection.open_sender(wanted.to);
        if (wanted.receive) {
            const receiver = connection.open_receiver(
                {source: wanted.from, credit_window: 0, autoaccept: false, autosettle: true});
            if (wanted.drain) receiver.drain = true;
            receiver.add_credit(wanted.receive);
        }
        if (wanted.linger) setTimeout(() => { wanted.linger = 0; finish(); }, wanted.linger * 1000);
    });
    container.on('sendable', ({sender}) => {
        while (sender.sendable() && toSend.length) {
            const size = toSend.shift();
            sender.send({
                message_id: 7,
                correlation_id: 'c' + size,
                application_properties: {size, text: 'ä'},
                message_annotations: {'x-note': size},
                body: rhea.message.data_section(bodyOf(size)),
            });
        }
    });
    const outcome = (name) => ({delivery}) => {
        const error = delivery.remote_state && delivery.remote_state.error;
        outcomes.push([name, (error && error.condition) || null, (error && error.description) || null,
            (error && error.info) || null]);
        if (outcomes.length === wanted.send.length) finish();
    };
    for (const name of ['accepted', 'rejected', 'released']) container.on(name, outcome(name));
    container.on('message', ({message, delivery}) => {
        received.push(told(message));
        delivery.accept();
        if (received.length === wanted.count) finish();
    });
    container.on('receiver_drained', () => { drained = true; finish(); });
    for (const kind of ['sender', 'receiver']) {
        container.on(kind + '_error', (context) => { errors.push(errorOf('link', context[kind].error)); finish(); });
    }
    container.on('connection_error', ({connection: c}) => errors.push(errorOf('connection', c.error)));
    container.on('error', (error) => errors.push(errorOf('transport', {condition: error.name, description: error.message})));
    container.on('disconnected', ({error}) => {
        if (error) errors.push(errorOf('transport', {condition: error.name, description: error.message}));
    });
    process.on('exit', () => report({outcomes, received, drained, errors}));
}

function server() {
    const container = rhea.create_container({id: 'rhea'});
    const received = [], outcomes = [];
    const left = [...(wanted.send || [])];
    let draining = false;
    if (wanted.user) {
        container.sasl_server_mechanisms.enable_plain((user, password) =>
            user === wanted.user && password === wanted.password);
        container.options.require_sasl = true;
    } else {
        container.sasl_server_mechanisms.enable_anonymous();
    }
    container.options.max_frame_size = wanted.max_frame_size;
    container.options.receiver_options = {autoaccept: false, credit_window: wanted.credit || 10};
    container.on('sender_open', ({sender}) => sender.set_source(sender.source));
    container.on('receiver_open', ({receiver}) => receiver.set_target(receiver.target));
    container.on('message', ({message, delivery, receiver}) => {
        received.push(told(message));
        if (receiver.target.address === 'reject') {
            delivery.reject({condition: 'test:no', description: 'not wanted', info: {why: 'because'}});
        } else {
            delivery.accept();
        }
    });
    container.on('sendable', ({sender}) => {
        while (sender.sendable() && left.length) {
            const size = left.shift();
            sender.send({message_id: 'm', correlation_id: size, body: rhea.message.data_section(bodyOf(size))});
        }
        if (draining) sender.set_drained(true);
    });
    container.on('sender_draining', () => { draining = true; }); // 'sendable' comes after it
    container.on('settled', ({delivery}) => outcomes.push(String(delivery.remote_state && delivery.remote_state.constructor.composite_type)));
    const listener = container.listen({port: 0, host: '127.0.0.1'});
    listener.on('listening', () => report({port: listener.address().port}));
    container.on('connection_close', () => {
        report({received, outcomes});
        listener.close();
    });
    container.on('disconnected', () => listener.close());
}

({client, server})[role]();
