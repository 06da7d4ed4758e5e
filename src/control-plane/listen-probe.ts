// Looks at every listener's address before a worker opens it. uWebSockets.js listens with SO_REUSEPORT, so two
// processes of one user would share a port without a word, half of the requests to each; an exclusive listen
// of our own finds that out. It also chooses the port where 0 is configured: uWebSockets.js shares only ports
// that are given to it.
import { connect, createServer } from 'node:net';
import type { Address, Config, ListenerConfig } from '../config/config.ts';
import type { Problem } from '../errors.ts';

/** Addresses by listener name, ports resolved. */
export type BoundAddresses = ReadonlyMap<string, Address>;

/** @returns the addresses the listeners will have, and a problem for each that cannot be opened. */
export async function probeListeners(
  listeners: readonly ListenerConfig[],
): Promise<{ readonly addresses: BoundAddresses; readonly problems: readonly Problem[] }> {
  const addresses = new Map<string, Address>();
  const problems: Problem[] = [];
  for (const [index, { name, address }] of listeners.entries()) {
    try {
      addresses.set(name, await probeAddress(address));
    } catch (error) {
      problems.push(
        listenProblem(`listeners[${index}].address`, `listener ${name}`, address, error),
      );
    }
  }
  return { addresses, problems };
}

/** The problem of an address that cannot be listened on. @param owner who wanted it, for people. */
export function listenProblem(
  path: string,
  owner: string,
  address: Address,
  error: unknown,
): Problem {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  const reason = REASONS[code] ?? (error instanceof Error ? error.message : String(error));
  return {
    path,
    line: 0,
    expected: `an address on which ${owner} can listen`,
    found: `${address.text}, ${reason}`,
  };
}

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'which is in use (EADDRINUSE)',
  EACCES: 'for which this user has no permission (EACCES)',
  EADDRNOTAVAIL: 'which is no address of this machine (EADDRNOTAVAIL)',
  ENOTFOUND: 'whose host name is not known (ENOTFOUND)',
};

/** The configuration with the listeners where they really are. */
export function withAddresses(config: Config, addresses: BoundAddresses): Config {
  const listeners = config.listeners.map((listener) => ({
    ...listener,
    address: addresses.get(listener.name) ?? listener.address,
  }));
  return { ...config, listeners };
}

/** @returns the address with the port the system chose where 0 stands. @throws Error of listen(2) or bind(2). */
async function probeAddress(address: Address): Promise<Address> {
  if (address.kind === 'unix') {
    if (await isAnswered(address.path)) {
      throw Object.assign(new Error('in use'), { code: 'EADDRINUSE' });
    }
    return address;
  }
  const port = await listenOnce(address.host, address.port);
  return withPort(address, port);
}

/** An address with another port. */
export function withPort(address: Address, port: number): Address {
  if (address.kind === 'unix') return address;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return { ...address, port, text: `${host}:${port}` };
}

function listenOnce(host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ host, port, exclusive: true }, () => {
      const bound = server.address();
      const chosen = typeof bound === 'object' && bound !== null ? bound.port : port;
      server.close(() => resolve(chosen));
    });
  });
}

/** Whether somebody listens on the socket. One that nobody answers on was left behind and may be replaced. */
export function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
