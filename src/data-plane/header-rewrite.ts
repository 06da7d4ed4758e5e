// A route's changes to a header block, digested once a structure: which names go, and the lines that come.
import type { HeaderRewriteConfig } from '../config/config.ts';
import { foldedName } from './upstream/header-block.ts';

function exactName(name: string): string {
  return name.toLowerCase();
}

export class HeaderRewrite {
  /** Nothing is changed. */
  readonly isEmpty: boolean;
  private readonly dropped: ReadonlySet<string>;
  private readonly keyOf: (name: string) => string;
  /** `Name: value`. */
  private readonly lines: readonly string[];

  /**
   * @param isFolded names that differ only in their signs (X_User, X-User) are one: what the route sets or removes
   * cannot be forged in another spelling.
   */
  constructor({ set, remove }: HeaderRewriteConfig, isFolded: boolean) {
    this.keyOf = isFolded ? foldedName : exactName;
    const names = Object.keys(set);
    this.dropped = new Set([...names, ...remove].map((name) => this.keyOf(name)));
    this.lines = names.map((name) => `${name}: ${set[name]}`);
    this.isEmpty = this.dropped.size === 0;
  }

  /** @param block `name: value` lines joined by CRLF; '' = none. @returns the same with the changes made. */
  apply(block: string): string {
    return this.isEmpty ? block : [...this.kept(block), ...this.lines].join('\r\n');
  }

  /** As apply(), for trailers: nothing is added behind a body. */
  drop(block: string): string {
    return this.isEmpty || block === '' ? block : this.kept(block).join('\r\n');
  }

  private kept(block: string): string[] {
    const lines = block === '' ? [] : block.split('\r\n');
    return lines.filter((line) => !this.dropped.has(this.keyOf(nameOf(line))));
  }
}

function nameOf(line: string): string {
  return line.slice(0, line.indexOf(':'));
}
