// Keys of TLS session tickets, the same in all workers: made of the primary's secret, for each listener its own, so that a
// session of one is never resumed on another that asks for more of its clients.
import { hkdfSync } from 'node:crypto';

/** As Node takes them: name, HMAC key and AES key of 16 bytes each. */
const KEY_BYTES = 48;

export class SessionTickets {
  private secret: Uint8Array;
  private readonly listeners: (() => void)[] = [];

  constructor(secret: Uint8Array) {
    this.secret = secret;
  }

  keysOf(listener: string): Buffer {
    return Buffer.from(
      hkdfSync('sha256', this.secret, new Uint8Array(0), `millrace tickets ${listener}`, KEY_BYTES),
    );
  }

  /** The primary has made a new secret. */
  change(secret: Uint8Array): void {
    this.secret = secret;
    for (const listener of this.listeners) listener();
  }

  /** @param listener called after each change, for as long as the worker runs. */
  onChange(listener: () => void): void {
    this.listeners.push(listener);
  }
}
