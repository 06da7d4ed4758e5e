// Who may connect to a listener: `limits.connections` in all, `limits.connectionsPerAddress` from one client. Asked by both
// listener engines when a connection comes, before anything is read from it. Counts are shared by all workers.
import { systemClock } from '../clock.ts';
import { clientNetwork } from '../limits/client-network.ts';
import { KeyDigest } from '../limits/key-digest.ts';
import { LimitTable } from '../shared-state/limit-table.ts';
import { ListenerGate, type ListenerGateBuffers } from '../shared-state/listener-gate.ts';

export class ConnectionGate {
  private readonly gate: ListenerGate;
  private readonly addresses: LimitTable | null;
  private readonly digest: KeyDigest = new KeyDigest();
  private readonly cap: number;
  private readonly capPerAddress: number;
  private isRetired = false;

  /** @param cap @param capPerAddress 0 = unlimited. */
  constructor(buffers: ListenerGateBuffers, worker: number, cap: number, capPerAddress: number) {
    this.gate = new ListenerGate(buffers, worker);
    this.addresses = buffers.addresses === null ? null : new LimitTable(buffers.addresses, worker);
    this.cap = cap;
    this.capPerAddress = capPerAddress;
  }

  /** @returns false: the connection is to be closed. True: leave() follows when it is. */
  enter(): boolean {
    if (this.gate.enter(this.cap)) return true;
    this.gate.countRefused();
    return false;
  }

  leave(): void {
    this.gate.leave();
  }

  /**
   * A connection that has entered turns out to be of this client.
   * @param address as text; '' = unknown, which is not counted.
   * @returns what to call when it closes; null: it is one too many and is to be closed.
   */
  enterFrom(address: string): (() => void) | null {
    const { addresses, gate } = this;
    if (addresses === null || address === '') return leaveNothing;
    const { era } = gate;
    const { seedLow, seedHigh } = addresses;
    this.digest.digest(clientNetwork(address), seedLow, seedHigh);
    const { low, high } = this.digest;
    for (;;) {
      addresses.find(low, high);
      const count = addresses.time === era + 1 ? addresses.level : 0;
      if (count < this.capPerAddress) {
        if (!addresses.commit(count + 1, era + 1)) continue;
        addresses.touch(secondNow());
        return () => this.leaveFrom(low, high, era);
      }
      if (!addresses.confirm()) continue;
      gate.countRefused();
      return null;
    }
  }

  /** The listener closes all that is open; from now on the primary owns what this worker counted. */
  retire(): void {
    this.isRetired = true;
    this.gate.retire();
  }

  private leaveFrom(low: number, high: number, era: number): void {
    const addresses = this.addresses!;
    if (this.isRetired) return;
    for (;;) {
      addresses.find(low, high);
      const isCounted = !addresses.isNew && addresses.time === era + 1 && addresses.level > 0;
      if (isCounted) {
        if (addresses.commit(addresses.level - 1, era + 1)) return;
        // Forgotten for others, or counted anew since a worker died; if that was not a bucket half written.
      } else if (addresses.confirm()) return;
    }
  }
}

function leaveNothing(): void {
  // Nothing was counted.
}

/** For the table's choice of what it forgets first. */
function secondNow(): number {
  return Math.max(1, Math.floor(systemClock.nowUs() / 1e6));
}
