// Behind one balancer all connections of a listener come from one address, and the kernel need not be asked for it
// with every request. uWebSockets.js gives a connection no identity to remember an address by; this asks once a
// connection, and only as long as all have been of one address. One a listener and worker.
import type { Origin } from './forwarded.ts';

export class SoleOrigin {
  /** Where every open connection comes from; null: from several addresses, or nothing is open. */
  origin: Origin | null = null;
  private openCount = 0;
  private isMixed = false;

  /** @param read asks for the new connection's address. */
  onOpen(read: () => Origin): void {
    this.openCount++;
    if (this.isMixed) return;
    const origin = read();
    if (this.origin === null) {
      this.origin = origin;
    } else if (this.origin.text !== origin.text) {
      this.origin = null;
      // Which of them closes is not told: mixed until none is left.
      this.isMixed = true;
    }
  }

  onClose(): void {
    this.openCount--;
    if (this.openCount > 0) return;
    this.origin = null;
    this.isMixed = false;
  }
}
