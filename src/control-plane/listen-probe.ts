// Looks at every listener's address before a worker opens it. uWebSockets.js listens with SO_REUSEPORT, so two
// processes of one user would share a port without a word, half of the requests to each; an exclusive listen
// of our own finds that out. It also chooses the port where 0 is configured: uWebSockets.js shares only ports
// that are given to it.
import { randomInt } from 'node:crypto';
import { lstatSync, unlinkSync } from 'node:fs';
import { connect, createServer, type ListenOptions } from 'node:net';
import type { Address, Config, ListenerConfig } from '../config/config.ts';
import type { Problem } from '../errors.ts';

/** Below the ports of outgoing connections on every usual system (Linux: from 32768 on). */
const CHOSEN_PORT_MIN = 16_384;
const CHOSEN_PORT_MAX = 32_767;
const CHOICES_MAX = 20;

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
  EACCES: 'for which this user has no permission, or whose folder is not there (EACCES)',
  EPERM: 'for which this user has no permission (EPERM)',
  ENOTSOCK: 'where something is that is no socket (ENOTSOCK)',
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
    await makeRoomAt(address.path);
    await listenOnce({ path: address.path });
    return address;
  }
  const { host, port } = address;
  return withPort(address, port === 0 ? await choosePort(host) : await listenOnce({ host, port }));
}

/**
 * A free port that stays free until the workers listen: the one the system would choose is from the range in which it
 * also chooses the ports of outgoing connections, and may be one of those a moment later.
 */
async function choosePort(host: string): Promise<number> {
  for (let attempt = 0; attempt < CHOICES_MAX; attempt++) {
    try {
      return await listenOnce({ host, port: randomInt(CHOSEN_PORT_MIN, CHOSEN_PORT_MAX + 1) });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    }
  }
  return listenOnce({ host, port: 0 });
}

/** Takes away a socket that a process has left behind. @throws Error when something else is there. */
export async function makeRoomAt(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw Object.assign(new Error('no socket'), { code: 'ENOTSOCK' });
  if (await isAnswered(path)) throw Object.assign(new Error('in use'), { code: 'EADDRINUSE' });
  unlinkSync(path);
}

/** An address with another port. */
export function withPort(address: Address, port: number): Address {
  if (address.kind === 'unix') return address;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return { ...address, port, text: `${host}:${port}` };
}

/** @returns the port bound; 0 for a unix socket. */
function listenOnce(options: ListenOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ ...options, exclusive: true }, () => {
      const bound = server.address();
      const chosen = typeof bound === 'object' && bound !== null ? bound.port : 0;
      server.close(() => resolve(chosen));
    });
  });
}

/**
 * Whether somebody listens on the socket. One that refuses was left behind and may be replaced; one that we may not
 * connect to, or that is too busy to take us, is somebody's.
 */
function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', ({ code }: NodeJS.ErrnoException) => {
      resolve(code !== 'ECONNREFUSED' && code !== 'ENOENT');
    });
  });
}
