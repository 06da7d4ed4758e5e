// A gRPC service and its clients on @grpc/grpc-js, with text for messages, so that no schema is needed.
import {
  Client,
  credentials,
  type Metadata,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';

const toBytes = (text: string): Buffer => Buffer.from(text);
const fromBytes = (bytes: Buffer): string => bytes.toString();

export const SERVICE = '/test.Echo/';

/** One method of each kind. */
export const echoDefinition: ServiceDefinition = Object.fromEntries(
  [
    ['unary', false, false],
    ['upload', true, false],
    ['download', false, true],
    ['chat', true, true],
  ].map(([name, requestStream, responseStream]) => [
    name,
    {
      path: `${SERVICE}${String(name)}`,
      requestStream: requestStream as boolean,
      responseStream: responseStream as boolean,
      requestSerialize: toBytes,
      requestDeserialize: fromBytes,
      responseSerialize: toBytes,
      responseDeserialize: fromBytes,
    },
  ]),
);

/** Starts a server with the service, on a loopback port. */
export async function startGrpcServer(
  implementation: UntypedServiceImplementation,
): Promise<{ server: Server; port: number }> {
  const server = new Server();
  server.addService(echoDefinition, implementation);
  return { server, port: await bindServer(server) };
}

/** @returns the loopback port that the server listens on. */
export function bindServer(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
      if (error === null) resolve(port);
      else reject(error);
    });
  });
}

export class EchoClient extends Client {
  constructor(port: number, options: Readonly<Record<string, number | string>> = {}) {
    super(`127.0.0.1:${port}`, credentials.createInsecure(), options);
  }

  unary(
    text: string,
    metadata: Metadata,
    options: { readonly deadline?: number } = {},
  ): Promise<string> {
    return new Promise((resolve, reject) => {
      this.makeUnaryRequest(
        `${SERVICE}unary`,
        toBytes,
        fromBytes,
        text,
        metadata,
        options,
        (error, value) => {
          if (error === null) resolve(value!);
          else reject(error);
        },
      );
    });
  }
}

export { fromBytes, toBytes };
