// What slow-clients.test.ts asks of the program that measures, slow-clients-main.ts, and what it is told.

export const CONNECTIONS = 500;

/** Arguments of slowhttptest, the path last. */
export const ATTACKS = {
  headers: ['-H', '-u', '/'],
  body: ['-B', '-s', '8192', '-u', '/'],
  read: ['-X', '-w', '10', '-y', '20', '-n', '5', '-z', '32', '-u', '/bytes/8000000'],
} as const;

export interface Attack {
  readonly engine: 'uws' | 'node';
  readonly kind: keyof typeof ATTACKS;
  /** Connections a second, until there are 500. */
  readonly rate: number;
}

/** p99 of another client, ms, counted from when each of its requests was due. */
export interface SlowClientsResult {
  readonly quiet: number;
  /** Over the attack, from its first connection on. */
  readonly attacked: number;
  /** Of that the first 5 s, and the 3 s after them. */
  readonly beginning: number;
  readonly held: number;
  /** Most connections that were open at once. */
  readonly open: number;
  readonly memoryMib: number;
}
