// The endpoints of one upstream that workers took out because connections to them failed: when they come back. A
// worker sets the flag at once and by itself; this judges afterwards how long it stays, and whether too many are
// out. Called by the evaluator (primary) several times a second. It changes nothing itself; whoever calls
// sets the flags.
import type { OutlierConfig } from '../config/config.ts';
import {
  FLAG_ADMIN_DOWN,
  FLAG_ADMIN_DRAINING,
  FLAG_EJECTED,
  FLAG_EJECTED_CONNECT,
} from '../shared-state/layout.ts';
import { EjectionRecord, ejectionLimit } from './ejections.ts';

/** One endpoint as the evaluator sees it now. */
export interface ConnectObservation {
  readonly slot: number;
  /** Another generation is another endpoint: what was known of the slot is forgotten. */
  readonly generation: number;
  readonly flags: number;
  /** A connection to it succeeded since the last call. */
  readonly isReachable: boolean;
}

export interface ConnectVerdict {
  /**
   * `eject`: a worker took it out, which stands for now. `restore`: it comes back. `keep`: it cannot be reached
   * either, but more must not be out, so it goes back into use; `clear`: the same, once more for the same outage.
   */
  readonly kind: 'eject' | 'restore' | 'keep' | 'clear';
  readonly slot: number;
  /** Ejections in a row by now, 0 for `keep` and `clear`. */
  readonly count: number;
  /** ms of the passed clock; 0 unless ejected. */
  readonly untilMs: number;
}

interface Known {
  readonly generation: number;
  readonly record: EjectionRecord;
  /** In use although it cannot be reached, because too many are out. */
  isKept: boolean;
}

const ADMIN_OUT = FLAG_ADMIN_DRAINING | FLAG_ADMIN_DOWN;

export class ConnectJudge {
  private readonly known: Map<number, Known>;

  constructor() {
    this.known = new Map();
  }

  /** @returns ms of the passed clock; 0 = not ejected for its connections. */
  ejectedUntilMs(slot: number): number {
    return this.known.get(slot)?.record.untilMs ?? 0;
  }

  /** Slots that are unreachable as far as is known: to be asked again whether they still are. */
  get unreachable(): number[] {
    const slots: number[] = [];
    for (const [slot, { record, isKept }] of this.known) {
      if (record.isEjected || isKept) slots.push(slot);
    }
    return slots;
  }

  /** Judges all endpoints of the upstream. @returns what is to be done now, restorations first. */
  judge(
    config: OutlierConfig,
    nowMs: number,
    observations: readonly ConnectObservation[],
  ): ConnectVerdict[] {
    this.forgetOthers(observations);
    const verdicts: ConnectVerdict[] = [];
    const fresh: number[] = [];
    let poolCount = 0;
    let ejectedCount = 0;
    for (const { slot, flags, isReachable } of observations) {
      const known = this.known.get(slot)!;
      const { record } = known;
      record.decay(config, nowMs);
      if (isReachable && (record.isEjected || known.isKept)) {
        known.isKept = false;
        record.restore(nowMs);
        verdicts.push(verdictOn('restore', slot, record));
      } else if (record.isEjected && record.untilMs <= nowMs) {
        record.restore(nowMs);
        verdicts.push(verdictOn('restore', slot, record));
      } else if ((flags & FLAG_EJECTED_CONNECT) !== 0 && !record.isEjected) {
        fresh.push(slot);
      }
      if ((flags & ADMIN_OUT) !== 0) continue;
      poolCount++;
      if (record.isEjected || (flags & FLAG_EJECTED) !== 0) ejectedCount++;
    }
    let room = ejectionLimit(config, poolCount) - ejectedCount;
    for (const slot of fresh) {
      verdicts.push(room-- > 0 ? this.eject(config, nowMs, slot) : this.keep(slot));
    }
    return verdicts;
  }

  private forgetOthers(observations: readonly ConnectObservation[]): void {
    const present = new Set<number>();
    for (const { slot, generation } of observations) {
      present.add(slot);
      if (this.known.get(slot)?.generation === generation) continue;
      this.known.set(slot, { generation, record: new EjectionRecord(), isKept: false });
    }
    for (const slot of this.known.keys()) if (!present.has(slot)) this.known.delete(slot);
  }

  private eject(config: OutlierConfig, nowMs: number, slot: number): ConnectVerdict {
    const known = this.known.get(slot)!;
    known.isKept = false;
    known.record.eject(config, nowMs);
    return verdictOn('eject', slot, known.record);
  }

  // A worker takes it out again after a few more failures; that is cleared each time, and said only once.
  private keep(slot: number): ConnectVerdict {
    const known = this.known.get(slot)!;
    const kind = known.isKept ? 'clear' : 'keep';
    known.isKept = true;
    return { kind, slot, count: 0, untilMs: 0 };
  }
}

function verdictOn(
  kind: 'eject' | 'restore',
  slot: number,
  record: EjectionRecord,
): ConnectVerdict {
  return { kind, slot, count: record.count, untilMs: record.untilMs };
}
