// The grpc probe: grpc.health.v1.Health/Check for one service, or for the empty name, which stands for the whole
// server. SERVING is well; a service that the server does not know (NOT_FOUND) is not. A server that does not implement the health service answers UNIMPLEMENTED; it is there and speaks gRPC, so
// that passes too. Source: grpc/doc/health-checking.md; nginx offers the same reading of UNIMPLEMENTED.
import { requestHttp2 } from './http2.ts';
import { type Probe, failed, passed } from './probe.ts';

const FRAME_HEAD_BYTES = 5;
const GRPC_OK = '0';
const GRPC_NOT_FOUND = '5';
const GRPC_UNIMPLEMENTED = '12';
const SERVING = 1;
/** HealthCheckResponse.ServingStatus. */
const STATUS_NAMES = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];

export const probeGrpc: Probe = async (target) => {
  const answer = await requestHttp2(
    target,
    {
      ':method': 'POST',
      ':path': '/grpc.health.v1.Health/Check',
      'content-type': 'application/grpc',
      te: 'trailers',
      'grpc-timeout': `${target.healthCheck.timeoutMs}m`,
    },
    checkRequest(target.healthCheck.service),
  );
  if (answer.kind === 'failure') return answer.result;
  if (answer.status !== 200) return failed(`status ${answer.status}, expected a gRPC answer`);
  // A server that sends no message puts the status into its only header block.
  const grpcStatus = answer.trailers['grpc-status'] ?? answer.headers['grpc-status'];
  if (grpcStatus === GRPC_UNIMPLEMENTED) return passed('health service not implemented');
  const { service } = target.healthCheck;
  if (grpcStatus === GRPC_NOT_FOUND && service !== '')
    return failed(`service ${service} not known`);
  if (grpcStatus !== GRPC_OK) {
    return failed(`grpc-status ${grpcStatus === undefined ? 'missing' : String(grpcStatus)}`);
  }
  const status = servingStatusOf(answer.body);
  if (status === null) return failed('the health answer cannot be read');
  const name = STATUS_NAMES[status] ?? `status ${status}`;
  return status === SERVING ? passed(name) : failed(name);
};

/** A HealthCheckRequest, uncompressed; field 1 is the service and absent when empty. @param service at most 127 characters. */
export function checkRequest(service: string): Buffer {
  const message = service === '' ? [] : [0x0a, service.length, ...Buffer.from(service, 'latin1')];
  return Buffer.from([0, 0, 0, 0, message.length, ...message]);
}

/**
 * Field 1 of the one message in a gRPC body.
 * @returns 0 when the field is absent, as protobuf has it; null when this is no uncompressed message.
 */
export function servingStatusOf(body: Buffer): number | null {
  if (body.length < FRAME_HEAD_BYTES || body[0] !== 0) return null;
  const end = FRAME_HEAD_BYTES + body.readUInt32BE(1);
  if (end !== body.length) return null;
  let place = FRAME_HEAD_BYTES;
  let status = 0;
  // At most 5 bytes of a varint are of use: tags and statuses are small numbers.
  const readVarint = (): number | null => {
    let value = 0;
    for (let shift = 0; shift < 35 && place < end; shift += 7) {
      const byte = body[place++]!;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    return null;
  };
  while (place < end) {
    const tag = readVarint();
    if (tag === null) return null;
    const wireType = tag & 7;
    if (wireType === 1) place += 8;
    else if (wireType === 5) place += 4;
    else if (wireType === 0 || wireType === 2) {
      const value = readVarint();
      if (value === null) return null;
      if (wireType === 2) place += value;
      else if (tag >>> 3 === 1) status = value;
    } else return null;
  }
  return place === end ? status : null;
}
