// The routes of the admin API: what each asks of the balancer. docs/admin-api.md is its page for operators.
import type { FastifyInstance } from 'fastify';
import { Metrics, METRICS_CONTENT_TYPE } from '../../telemetry/metrics.ts';
import { UnknownNameError } from '../faults.ts';
import type { Administered } from './administered.ts';
import {
  endpointBody,
  evaluationBody,
  explainBody,
  explainQuery,
  parseBody,
  policyBody,
} from './bodies.ts';

/** Paths that a load balancer or supervisor in front asks without a token. */
export const OPEN_PATHS: ReadonlySet<string> = new Set(['/healthz', '/readyz']);

interface NameParams {
  readonly name: string;
}

interface EndpointParams extends NameParams {
  /** The address, decoded. */
  readonly '*': string;
}

/** @param allowsFaults whether workers may be made to fail. */
export function addRoutes(
  server: FastifyInstance,
  balancer: Administered,
  allowsFaults: boolean,
): void {
  const metrics = new Metrics(balancer);

  server.get('/healthz', () => ({ healthy: true }));

  server.get('/readyz', (_request, reply) => {
    const reasons = balancer.unreadiness();
    const ready = reasons.length === 0;
    return reply.code(ready ? 200 : 503).send({ ready, reasons });
  });

  server.get('/metrics', async (_request, reply) =>
    reply.type(METRICS_CONTENT_TYPE).send(await metrics.render()),
  );

  server.get('/v1/state', () => balancer.state());

  server.put<{ Params: NameParams }>('/v1/upstreams/:name/policy', async (request) => {
    const { policy } = parseBody(policyBody, request.body);
    await balancer.setPolicy(request.params.name, policy);
    return { upstream: request.params.name, policy };
  });

  server.post<{ Params: NameParams }>('/v1/upstreams/:name/evaluate', async (request, reply) => {
    const order = parseBody(evaluationBody, request.body);
    // Who asked and left waits for no answer.
    const left = new AbortController();
    reply.raw.once('close', () => left.abort());
    return balancer.evaluatePolicy(request.params.name, order, left.signal);
  });

  server.put<{ Params: NameParams }>('/v1/upstreams/:name/explain', async (request) => {
    const { sample } = parseBody(explainBody, request.body);
    await balancer.setExplain(request.params.name, sample);
    return { upstream: request.params.name, sample };
  });

  server.get('/v1/explain', (request) => {
    const { upstream } = parseBody(explainQuery, request.query, 'query');
    return balancer.explained(upstream);
  });

  server.put<{ Params: EndpointParams }>('/v1/upstreams/:name/endpoints/*', async (request) => {
    const { name, '*': address } = request.params;
    const change = parseBody(endpointBody, request.body);
    await balancer.setEndpoint(name, address, change);
    return endpointOf(balancer, name, address);
  });

  server.delete<{ Params: EndpointParams }>('/v1/upstreams/:name/endpoints/*', async (request) => {
    const { name, '*': address } = request.params;
    await balancer.removeEndpoint(name, address);
    return { upstream: name, removed: address };
  });

  server.post('/v1/reload', async () => {
    await balancer.reloadFromSource();
    return { reloaded: true, epoch: balancer.state().epoch };
  });

  if (!allowsFaults) return;
  server.post<{ Params: { readonly index: string } }>('/v1/workers/:index/fail', (request) => {
    const { index } = request.params;
    if (!/^\d{1,6}$/.test(index)) throw new UnknownNameError('worker', index);
    balancer.failWorker(Number(index));
    return { worker: Number(index), failing: true };
  });
}

function endpointOf(balancer: Administered, upstream: string, address: string): unknown {
  const endpoints = balancer.state().upstreams[upstream]?.endpoints ?? [];
  return endpoints.find((endpoint) => endpoint.address === address) ?? { address };
}
