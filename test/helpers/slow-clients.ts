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
  readonly quietMs: number;
  /** Over the attack, from its first connection on. */
  readonly attackedMs: number;
  /** Of that the beginning, while the connections come, and some seconds after it. */
  readonly beginningMs: number;
  /** Connections that are open when the beginning is over. */
  readonly openCount: number;
  /** Times that the other client found its connection gone and asked again. */
  readonly resetCount: number;
  /** Of Millrace, resident, at the end. */
  readonly memoryMib: number;
}

/** Questions are answered one after the other. */
export interface Question {
  readonly id: number;
  readonly attack: Attack;
}

export interface Reply {
  readonly id: number;
  /** Or why there is none. */
  readonly result: SlowClientsResult | string;
}
