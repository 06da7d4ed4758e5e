// The secret of which workers make the keys of their TLS session tickets: one for all, so that a client resumes with any
// worker, and a new one from time to time, so that what a stolen one opens is little. Owned by the balancer.
import { randomBytes } from 'node:crypto';
import type { PrimaryMessage } from '../worker-messages.ts';

const SECRET_BYTES = 32;
/** Sessions are good for 5 minutes in Node; tickets of the last 5 minutes before a change cost a full handshake. */
const ROTATION_MS = 3_600_000;

export class TicketRotation {
  secret: Uint8Array = randomBytes(SECRET_BYTES);
  private readonly broadcast: (message: PrimaryMessage) => void;
  private readonly timer: NodeJS.Timeout;

  constructor(broadcast: (message: PrimaryMessage) => void) {
    this.broadcast = broadcast;
    this.timer = setInterval(() => this.rotate(), ROTATION_MS).unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  /** From now on sessions are resumed by a new secret only. */
  rotate(): void {
    this.secret = randomBytes(SECRET_BYTES);
    this.broadcast({ type: 'tickets', secret: this.secret });
  }
}
