// gRPC through a whole proxy: h2c in, h2c out, between @grpc/grpc-js's client and server. All four kinds of call,
// metadata, statuses, deadlines, errors of our own, and health checks.
import assert from 'node:assert/strict';
import {
  type ClientReadableStream,
  Metadata,
  type sendUnaryData,
  Server,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { once } from 'node:events';
import {
  connect,
  constants,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import { before, describe, test } from 'node:test';
import type { UpstreamReport } from '../../../src/telemetry/state-report.ts';
import { eventually, within } from '../../helpers/deadline.ts';
import { freePorts } from '../../helpers/free-port.ts';
import {
  END_HEADERS,
  field,
  frame,
  FrameType,
  RawEndpoint,
  word,
} from '../../helpers/h2-frames.ts';
import {
  bindServer,
  EchoClient,
  fromBytes,
  SERVICE,
  startGrpcServer,
  toBytes,
} from '../../helpers/grpc.ts';
import { Proxy } from '../../helpers/proxy.ts';
import { releaseAfter } from '../../helpers/release-after.ts';
import { until } from '../../helpers/until.ts';

const LISTENERS = [{ name: 'web', address: '127.0.0.1:0', protocols: ['h2c'] }];

const events: string[] = [];
let server: Server;
let serverPort = 0;
let proxy: Proxy;
let client: EchoClient;

function echoMetadata(received: Metadata): Metadata {
  const sent = new Metadata();
  for (const name of ['x-text', 'x-data-bin']) {
    for (const value of received.get(name)) sent.add(name, value);
  }
  return sent;
}

before(async () => {
  ({ server, port: serverPort } = await startGrpcServer({
    unary(call: ServerUnaryCall<string, string>, done: sendUnaryData<string>) {
      const { request, metadata } = call;
      if (request === 'fail') {
        const trailers = new Metadata();
        trailers.add('x-why-bin', Buffer.from([0, 255]));
        return done({
          code: status.FAILED_PRECONDITION,
          details: 'not today: 100 %',
          metadata: trailers,
        });
      }
      call.sendMetadata(echoMetadata(metadata));
      const trailers = new Metadata();
      trailers.add('x-trailer', 'behind');
      done(null, `echo ${request.length > 100 ? request.length : request}`, trailers);
    },
    upload(call: ServerReadableStream<string, string>, done: sendUnaryData<string>) {
      let count = 0;
      call.on('data', () => count++);
      call.on('end', () => done(null, `${count} messages`));
    },
    download(call: ServerWritableStream<string, string>) {
      if (call.request === 'endless') {
        call.write('first');
        call.on('cancelled', () => events.push('download cancelled'));
        return;
      }
      for (let index = 0; index < Number(call.request); index++) call.write(`message ${index}`);
      call.end();
    },
    chat(call: ServerDuplexStream<string, string>) {
      call.on('data', (text: string) => call.write(`re: ${text}`));
      call.on('end', () => call.end());
    },
  }));
  proxy = await Proxy.start(
    { protocol: 'h2c', endpoints: [`127.0.0.1:${serverPort}`] },
    { listeners: LISTENERS },
  );
  client = new EchoClient(proxy.port);
});

releaseAfter(
  () => client.close(),
  () => proxy.stop(),
  () => server.forceShutdown(),
);

async function failureOf(call: Promise<unknown>): Promise<ServiceError> {
  try {
    await within('a failure', 10_000, call);
  } catch (error) {
    return error as ServiceError;
  }
  throw new Error('it did not fail');
}

async function messagesOf(stream: ClientReadableStream<string>): Promise<string[]> {
  const messages: string[] = [];
  await within(
    'the stream',
    10_000,
    new Promise<void>((resolve, reject) => {
      stream.on('data', (text: string) => messages.push(text));
      stream.on('end', () => resolve());
      stream.on('error', reject);
    }),
  );
  return messages;
}

describe('calls', () => {
  test('unary, with metadata of text and of bytes both ways, and trailers', async () => {
    const metadata = new Metadata();
    metadata.add('x-text', 'plain');
    metadata.add('x-data-bin', Buffer.from([0, 1, 255, 10, 13]));
    let head: Metadata | undefined;
    let trailers: Metadata | undefined;
    const text = await new Promise<string>((resolve, reject) => {
      const call = client.makeUnaryRequest(
        `${SERVICE}unary`,
        toBytes,
        fromBytes,
        'hello',
        metadata,
        (error, value) => (error === null ? setImmediate(() => resolve(value!)) : reject(error)),
      );
      call.on('metadata', (received) => {
        head = received;
      });
      call.on('status', (ended) => {
        trailers = ended.metadata;
      });
    });
    assert.equal(text, 'echo hello');
    assert.deepEqual(head!.get('x-text'), ['plain']);
    assert.deepEqual(head!.get('x-data-bin'), [Buffer.from([0, 1, 255, 10, 13])]);
    assert.deepEqual(trailers!.get('x-trailer'), ['behind']);
  });

  test('unary with a message of 1 MB', async () => {
    assert.equal(await client.unary('x'.repeat(1_000_000), new Metadata()), 'echo 1000000');
  });

  test('client streaming', async () => {
    const answer = await new Promise<string>((resolve, reject) => {
      const call = client.makeClientStreamRequest(
        `${SERVICE}upload`,
        toBytes,
        fromBytes,
        new Metadata(),
        (error, value) => (error === null ? resolve(value!) : reject(error)),
      );
      for (let index = 0; index < 100; index++) call.write('x'.repeat(10_000));
      call.end();
    });
    assert.equal(answer, '100 messages');
  });

  test('server streaming', async () => {
    const messages = await messagesOf(
      client.makeServerStreamRequest(`${SERVICE}download`, toBytes, fromBytes, '500'),
    );
    assert.equal(messages.length, 500);
    assert.equal(messages.at(-1), 'message 499');
  });

  test('both ways at once, each message answered before the next is sent', async () => {
    const call = client.makeBidiStreamRequest(`${SERVICE}chat`, toBytes, fromBytes);
    const answers: string[] = [];
    const ended = new Promise<void>((resolve, reject) => {
      call.on('data', (text: string) => {
        answers.push(text);
        if (answers.length < 20) call.write(`message ${answers.length}`);
        else call.end();
      });
      call.on('end', () => resolve());
      call.on('error', reject);
    });
    call.write('message 0');
    await within('the end', 10_000, ended);
    assert.equal(answers.length, 20);
    assert.equal(answers[19], 're: message 19');
  });

  test('a status of the server’s comes as it is, with details and metadata', async () => {
    const error = await failureOf(client.unary('fail', new Metadata()));
    assert.equal(error.code, status.FAILED_PRECONDITION);
    assert.equal(error.details, 'not today: 100 %');
    assert.deepEqual(error.metadata.get('x-why-bin'), [Buffer.from([0, 255])]);
  });

  test('given up by the client is cancelled at the server', async () => {
    events.length = 0;
    const call = client.makeServerStreamRequest(
      `${SERVICE}download`,
      toBytes,
      fromBytes,
      'endless',
    );
    call.on('error', () => undefined);
    await within('a message', 5000, new Promise((resolve) => call.once('data', resolve)));
    call.cancel();
    await eventually('its end', 5000, () => events.includes('download cancelled') || undefined);
  });
});

describe('deadlines', () => {
  // A server that knows no deadlines: what ends a call is the proxy.
  let deaf: Http2Server;
  let patient: Proxy;
  let impatient: Proxy;
  const resets: (number | undefined)[] = [];

  before(async () => {
    deaf = createServer();
    deaf.on('stream', (stream, headers) => {
      stream.on('error', () => undefined);
      stream.on('close', () => resets.push(stream.rstCode));
      stream.resume();
      if (headers[':path'] !== `${SERVICE}download`) return;
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
      stream.write(Buffer.from('\0\0\0\0\u0005first'));
    });
    deaf.listen(0, '127.0.0.1');
    await once(deaf, 'listening');
    const upstream = {
      protocol: 'h2c',
      endpoints: [`127.0.0.1:${(deaf.address() as AddressInfo).port}`],
    };
    patient = await Proxy.start(upstream, { listeners: LISTENERS });
    const route = { match: { path: '/*' }, upstream: 'api', timeouts: { request: '200ms' } };
    impatient = await Proxy.start(upstream, { listeners: LISTENERS, routes: [route] });
  });

  releaseAfter(
    () => patient.stop(),
    () => impatient.stop(),
    () => deaf.close(),
  );

  /** The header alone, without a clock on the client's side that would end the call first. */
  function deadline(timeout: string): Metadata {
    const metadata = new Metadata();
    metadata.add('grpc-timeout', timeout);
    return metadata;
  }

  async function failureThrough(own: Proxy, timeout: string): Promise<ServiceError> {
    const through = new EchoClient(own.port);
    const error = await failureOf(through.unary('x', deadline(timeout)));
    through.close();
    return error;
  }

  test('the caller’s grpc-timeout ends the call, and resets its upstream stream', async () => {
    resets.length = 0;
    const error = await failureThrough(patient, '200m');
    assert.equal(error.code, status.DEADLINE_EXCEEDED);
    assert.equal(error.details, 'millrace: the upstream did not answer in time');
    await eventually('the reset', 5000, () => resets.length > 0 || undefined);
    assert.deepEqual(resets, [constants.NGHTTP2_CANCEL]);
  });

  test('callers that do not wait open no circuit', async () => {
    const upstream = {
      protocol: 'h2c',
      endpoints: [`127.0.0.1:${(deaf.address() as AddressInfo).port}`],
      circuitBreaker: { failureThreshold: 0.1, window: '60s', minimumRequests: 2, openTime: '60s' },
    };
    const own = await Proxy.start(upstream, { listeners: LISTENERS });
    try {
      // The circuit is looked at ten times a second.
      for (let call = 0; call < 15; call++) {
        assert.equal((await failureThrough(own, '50m')).code, status.DEADLINE_EXCEEDED);
      }
    } finally {
      await own.stop();
    }
  });

  test('it counts while the call waits for room', async () => {
    const own = await Proxy.start(
      {
        protocol: 'h2c',
        endpoints: [
          {
            address: `127.0.0.1:${(deaf.address() as AddressInfo).port}`,
            maxConnections: 1,
          },
        ],
        circuitBreaker: { pendingTimeout: '30s' },
      },
      { listeners: LISTENERS },
    );
    const through = new EchoClient(own.port);
    try {
      const holding = failureOf(through.unary('x', deadline('30S')));
      const upstream = (): UpstreamReport => own.balancer.state().upstreams['api']!;
      await until(() => upstream().endpoints[0]!.active === 1, 'the place is taken');
      const error = await failureThrough(own, '200m');
      assert.equal(error.code, status.DEADLINE_EXCEEDED);
      assert.equal(upstream().pending, 0);
      through.close();
      await holding;
    } finally {
      through.close();
      await own.stop();
    }
  });

  test('it counts while a rate limit holds the call back', async () => {
    const own = await Proxy.start(
      { protocol: 'h2c', endpoints: [`127.0.0.1:${serverPort}`] },
      {
        listeners: LISTENERS,
        rateLimits: { slow: { key: 'route', rate: '1/m', burst: 10, delay: 'all' } },
        routes: [{ match: { path: '/*' }, upstream: 'api', rateLimits: ['slow'] }],
      },
    );
    const through = new EchoClient(own.port);
    try {
      await through.unary('x', new Metadata());
      const error = await failureThrough(own, '200m');
      assert.equal(error.code, status.DEADLINE_EXCEEDED);
      const { requests } = own.balancer.state().upstreams['api']!;
      assert.equal(requests, 1);
    } finally {
      through.close();
      await own.stop();
    }
  });

  test('a call that says its length and does not come is ended like any request', async () => {
    const own = await Proxy.start(
      { protocol: 'h2c', endpoints: [`127.0.0.1:${serverPort}`] },
      { listeners: [{ ...LISTENERS[0]!, limits: { requestTimeout: '1s' } }] },
    );
    const session = connect(`http://127.0.0.1:${own.port}`);
    try {
      const stream = session.request({
        ':method': 'POST',
        ':path': `${SERVICE}unary`,
        'content-type': 'application/grpc',
        'content-length': '100',
        te: 'trailers',
      });
      stream.write('x');
      const [headers] = (await within('an answer', 10_000, once(stream, 'response'))) as [
        IncomingHttpHeaders & { ':status'?: number },
      ];
      assert.deepEqual(
        [headers[':status'], headers['grpc-status']],
        [200, String(status.DEADLINE_EXCEEDED)],
      );
    } finally {
      session.destroy();
      await own.stop();
    }
  });

  test('the route’s timeout ends it when that is shorter', async () => {
    assert.equal((await failureThrough(impatient, '1H')).code, status.DEADLINE_EXCEEDED);
  });

  test('a stream that has begun ends with the status behind what came', async () => {
    const through = new EchoClient(patient.port);
    const call = through.makeServerStreamRequest(
      `${SERVICE}download`,
      toBytes,
      fromBytes,
      '',
      deadline('300m'),
    );
    const messages: string[] = [];
    call.on('data', (text: string) => messages.push(text));
    const error = await failureOf(messagesOf(call));
    assert.deepEqual([error.code, messages], [status.DEADLINE_EXCEEDED, ['first']]);
    assert.match(error.details, /^millrace: /);
    through.close();
  });
});

describe('errors of the proxy’s own', () => {
  async function statusThrough(upstream: object, rest: object = {}): Promise<number> {
    const own = await Proxy.start(upstream, { listeners: LISTENERS, ...rest });
    const through = new EchoClient(own.port);
    const error = await failureOf(through.unary('x', new Metadata()));
    through.close();
    await own.stop();
    assert.match(error.details, /^millrace: /);
    return error.code;
  }

  test('nobody there is UNAVAILABLE', async () => {
    const [port] = await freePorts(1);
    const code = await statusThrough({ protocol: 'h2c', endpoints: [`127.0.0.1:${port}`] });
    assert.equal(code, status.UNAVAILABLE);
  });

  test('a stream that is reset behind its head, in one packet, is UNAVAILABLE', async () => {
    const raw = await RawEndpoint.start((socket, stream) => {
      const head = [field(':status', '200'), field('content-type', 'application/grpc')];
      socket.write(
        Buffer.concat([
          frame(FrameType.HEADERS, END_HEADERS, stream, Buffer.concat(head)),
          frame(FrameType.RST_STREAM, 0, stream, word(constants.NGHTTP2_INTERNAL_ERROR)),
        ]),
      );
    });
    const code = await statusThrough({ protocol: 'h2c', endpoints: [raw.address] });
    assert.equal(code, status.UNAVAILABLE);
    raw.stop();
  });

  test('no route is UNIMPLEMENTED', async () => {
    const code = await statusThrough(
      { protocol: 'h2c', endpoints: [`127.0.0.1:${serverPort}`] },
      { routes: [{ match: { path: '/other' }, upstream: 'api' }] },
    );
    assert.equal(code, status.UNIMPLEMENTED);
  });

  test('a rate limit is RESOURCE_EXHAUSTED', async () => {
    const own = await Proxy.start(
      { protocol: 'h2c', endpoints: [`127.0.0.1:${serverPort}`] },
      {
        listeners: LISTENERS,
        rateLimits: { few: { key: 'route', rate: '1/m', burst: 0 } },
        routes: [{ match: { path: '/*' }, upstream: 'api', rateLimits: ['few'] }],
      },
    );
    const through = new EchoClient(own.port);
    await through.unary('x', new Metadata());
    const error = await failureOf(through.unary('x', new Metadata()));
    assert.equal(error.code, status.RESOURCE_EXHAUSTED);
    through.close();
    await own.stop();
  });
});

test('health checks ask a real gRPC health service, and endpoints come and go by what it says', async () => {
  const SERVING = 1;
  const NOT_SERVING = 2;
  let answer = SERVING;
  const health = new Server();
  health.addService(
    {
      check: {
        path: '/grpc.health.v1.Health/Check',
        requestStream: false,
        responseStream: false,
        requestSerialize: (bytes: Buffer) => bytes,
        requestDeserialize: (bytes: Buffer) => bytes,
        responseSerialize: (bytes: Buffer) => bytes,
        responseDeserialize: (bytes: Buffer) => bytes,
      },
    },
    {
      // HealthCheckResponse { status = answer }
      check: (_call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) =>
        done(null, Buffer.of(0x08, answer)),
    },
  );
  const port = await bindServer(health);
  const own = await Proxy.start(
    {
      protocol: 'h2c',
      endpoints: [`127.0.0.1:${port}`],
      healthCheck: { type: 'grpc', interval: '500ms', timeout: '400ms', rise: 1, fall: 1 },
    },
    { listeners: LISTENERS },
  );
  const isHealth = (wanted: string) => (): true | undefined =>
    own.balancer.state().upstreams['api']!.endpoints[0]!.health === wanted || undefined;
  await eventually('up', 10_000, isHealth('up'));
  answer = NOT_SERVING;
  await eventually('down', 10_000, isHealth('down'));
  answer = SERVING;
  await eventually('up again', 10_000, isHealth('up'));
  await own.stop();
  health.forceShutdown();
});
