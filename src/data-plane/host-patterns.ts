// Host names as the configuration writes them: exact, or `*.example.com` for all names below one. Used by routes and by
// listeners that pass TLS through.

export class HostPatterns {
  /** Every name, and none. */
  readonly isAny: boolean;
  private readonly exact: readonly string[];
  private readonly suffixes: readonly string[];

  /** @param hosts lower case; empty = any. */
  constructor(hosts: readonly string[]) {
    this.isAny = hosts.length === 0 || hosts.includes('*');
    this.exact = hosts.filter((host) => !host.startsWith('*.'));
    this.suffixes = hosts.filter((host) => host.startsWith('*.')).map((host) => host.slice(1));
  }

  /** @param name lower case, without a port and without a final dot. */
  matches(name: string): boolean {
    if (this.isAny || this.exact.includes(name)) return true;
    for (const suffix of this.suffixes) {
      if (name.length > suffix.length && name.endsWith(suffix)) return true;
    }
    return false;
  }
}
