// What is measured: a proxy, started for one workload in front of given endpoints, stopped after it.
import type { Certificate } from '../harness/toolchain.ts';
import type { Workload } from '../workloads.ts';

/** What a peer gets to work with. */
export interface Ground {
  /** Ports of 127.0.0.1, as many as the workload has endpoints. */
  readonly endpointPorts: readonly number[];
  /** For its configuration and temporary files; gone after the run. */
  readonly folder: string;
  /** null unless the workload is TLS. */
  readonly certificate: Certificate | null;
}

/** A peer that listens on 127.0.0.1. */
export interface RunningPeer {
  /** Its process, which may have started others. */
  readonly pid: number;
  readonly port: number;
  /** Throws what it said last when the process is no longer there. */
  assertRuns(): void;
  stop(): Promise<void>;
}

/** A proxy that can be measured. */
export interface Peer {
  readonly name: string;
  readonly title: string;
  /** Measured in the workloads that name it only. */
  readonly isExtra: boolean;
  /** @returns what is missing and the command that installs it; null when nothing is. */
  available(): string | null;
  /** @returns why it is not measured in this workload; null when it is. */
  unsuitable(workload: Workload): string | null;
  /** One line: what exactly is measured. */
  version(): Promise<string>;
  /** @throws Error when it does not start. */
  start(workload: Workload, ground: Ground): Promise<RunningPeer>;
}
