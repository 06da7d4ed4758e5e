// What a worker needs of a listener, whichever HTTP server it runs on. Created and closed by worker.ts.

export interface Listener {
  /**
   * Opens the port.
   * @returns the port bound; 0 for a unix socket.
   * @throws Error when it cannot be opened.
   */
  listen(): Promise<number>;
  /** Connections accepted so far, those closed again at once, too. */
  readonly arrivedCount: number;
  /** Takes no new connections. Open ones go on; their answers ask the client to close. */
  stopAccepting(): void;
  /** Closes everything that is open; exchanges still running see their client go. */
  close(): void;
}

/** Says something in the primary's log. */
export type WorkerLog = (
  level: 'error' | 'warn' | 'info' | 'debug',
  message: string,
  fields: Readonly<Record<string, unknown>>,
) => void;
