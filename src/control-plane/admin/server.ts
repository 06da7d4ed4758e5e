// The admin API's listener: opens its address, lets in who may come, and turns every refusal into JSON that says
// what was wrong. Primary thread; opened before the first worker starts and closed after the last has ended.
import { chmod } from 'node:fs/promises';
import { fastify, type FastifyError, type FastifyInstance, type FastifyReply } from 'fastify';
import type { Logger } from 'pino';
import type { Address } from '../../config/config.ts';
import { InputError } from '../../errors.ts';
import { BusyError, LaggingWorkersError, UnknownNameError } from '../faults.ts';
import { makeRoomAt, listenProblem, withPort } from '../listen-probe.ts';
import type { Administered } from './administered.ts';
import { refusalOf } from './guard.ts';
import { addRoutes, OPEN_PATHS } from './routes.ts';

const BODY_BYTES_MAX = 65_536;
/** Longest endpoint address in a path: a Unix socket's, percent-encoded. */
const PARAM_LENGTH_MAX = 512;

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

const REFUSALS = {
  token: { status: 401, what: 'a bearer token is needed', expected: 'Authorization: Bearer …' },
  origin: { status: 403, what: 'not for web pages of others', expected: 'no other Origin or Host' },
} as const;

export interface AdminServerOptions {
  readonly balancer: Administered;
  readonly logger: Logger;
  /** Whether workers may be made to fail through the API. */
  readonly allowsFaults: boolean;
}

export class AdminServer {
  /** Where it can be reached, the port resolved. */
  readonly address: string;
  private readonly server: FastifyInstance;

  private constructor(server: FastifyInstance, address: string) {
    this.server = server;
    this.address = address;
  }

  /** @throws InputError when the address cannot be opened. */
  static async open(address: Address, options: AdminServerOptions): Promise<AdminServer> {
    const server = build(options);
    try {
      return new AdminServer(server, await listen(server, address));
    } catch (error) {
      await server.close();
      const problem = listenProblem('admin.address', 'the admin API', address, error);
      throw new InputError('configuration', [problem]);
    }
  }

  /** Stops listening; open connections are closed. */
  async close(): Promise<void> {
    await this.server.close();
  }
}

async function listen(server: FastifyInstance, address: Address): Promise<string> {
  if (address.kind === 'tcp') {
    await server.listen({ host: address.host, port: address.port });
    const [bound] = server.addresses();
    return withPort(address, typeof bound === 'object' ? bound.port : address.port).text;
  }
  await makeRoomAt(address.path);
  await server.listen({ path: address.path });
  await chmod(address.path, 0o600);
  return address.text;
}

function build({ balancer, logger, allowsFaults }: AdminServerOptions): FastifyInstance {
  const server = fastify({
    bodyLimit: BODY_BYTES_MAX,
    forceCloseConnections: true,
    routerOptions: { maxParamLength: PARAM_LENGTH_MAX },
    // A path that cannot be decoded is found before any hook.
    frameworkErrors: (error, _request, reply: FastifyReply) => {
      void reply.code(error.statusCode ?? 400).send({ what: error.message });
    },
  });
  takeJsonOnly(server);
  server.addHook('onRequest', async (request, reply) => {
    if (OPEN_PATHS.has(request.routeOptions.url ?? '')) return;
    const { authorization, origin, host } = request.headers;
    const refusal = refusalOf({ authorization, origin, host }, balancer.adminToken());
    if (refusal === '') return;
    const { status, what, expected } = REFUSALS[refusal];
    const found = refusal === 'token' ? 'none, or another' : (origin ?? host ?? 'none');
    await reply.code(status).send({ what, expected, found });
  });
  server.setNotFoundHandler(async (request, reply) =>
    reply.code(404).send({ what: 'no such resource', found: `${request.method} ${request.url}` }),
  );
  server.setErrorHandler(async (error: FastifyError, _request, reply) => {
    if (error instanceof InputError) {
      const { problems, message, origin } = error;
      const [first] = problems;
      const { expected, found } = first ?? { expected: '', found: '' };
      const what = `${origin} refused, nothing changed`;
      return reply.code(422).send({ what, expected, found, problems, message });
    }
    if (error instanceof UnknownNameError) return reply.code(404).send({ what: error.message });
    if (error instanceof BusyError) return reply.code(409).send({ what: error.message });
    if (error instanceof LaggingWorkersError) return reply.code(503).send({ what: error.message });
    const status = error.statusCode ?? 500;
    if (status < 500) return reply.code(status).send({ what: error.message });
    logger.error({ error: error.message, stack: error.stack }, 'the admin API failed');
    return reply.code(500).send({ what: 'a fault of ours' });
  });
  const methodsByPath = collectMethods(server);
  addRoutes(server, balancer, allowsFaults);
  refuseOtherMethods(server, methodsByPath);
  return server;
}

// JSON is the only form taken: it also is one that a web page cannot send unasked. A body that is said to be JSON
// and is empty is none: so do clients that always say it send DELETE and reload.
function takeJsonOnly(server: FastifyInstance): void {
  server.removeContentTypeParser('text/plain');
  const parse = server.getDefaultJsonParser('error', 'error');
  server.addContentTypeParser<string>(
    'application/json',
    { parseAs: 'string' },
    (request, body, done) => {
      if (body === '') done(null, undefined);
      else void parse(request, body, done);
    },
  );
}

/** @returns the methods of every path that is added from now on. */
function collectMethods(server: FastifyInstance): ReadonlyMap<string, ReadonlySet<string>> {
  const methodsByPath = new Map<string, Set<string>>();
  server.addHook('onRoute', ({ url, method }) => {
    const methods = methodsByPath.get(url) ?? new Set<string>();
    for (const each of [method].flat()) methods.add(each);
    methodsByPath.set(url, methods);
  });
  return methodsByPath;
}

// A path that is there, asked for by another method, is not one that is not there.
function refuseOtherMethods(
  server: FastifyInstance,
  methodsByPath: ReadonlyMap<string, ReadonlySet<string>>,
): void {
  // What is added here is collected, too: under paths that are there already.
  for (const [url, methods] of methodsByPath) {
    const allowed = [...methods].join(', ');
    server.route({
      url,
      method: METHODS.filter((method) => !methods.has(method)),
      exposeHeadRoute: false,
      handler: async (request, reply) => {
        const what = 'no such method here';
        return reply
          .code(405)
          .header('allow', allowed)
          .send({ what, expected: allowed, found: request.method });
      },
    });
  }
}
