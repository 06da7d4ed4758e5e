// Why the control plane refuses something, beside InputError. The admin API turns each into a status.

/** No upstream, endpoint or worker of that name. */
export class UnknownNameError extends Error {
  constructor(what: string, name: string) {
    super(`no ${what} "${name}"`);
    this.name = 'UnknownNameError';
  }
}

/** Workers still read older tables, so that nothing can be published now. Nothing was changed. */
export class LaggingWorkersError extends Error {
  readonly workers: readonly number[];

  constructor(workers: readonly number[]) {
    super(`worker ${workers.join(', ')} does not take over new tables; nothing was changed`);
    this.name = 'LaggingWorkersError';
    this.workers = workers;
  }
}

/** What is asked for is under way already. */
export class BusyError extends Error {
  constructor(what: string) {
    super(what);
    this.name = 'BusyError';
  }
}
