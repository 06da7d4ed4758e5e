// rewrite.stripPrefix of one route: finds the prefix in a request's path in whatever spelling it came, as the route was
// found, and cuts it off. Called by the exchange, on a worker thread.
import { isUnusual, normalPath, prefixEnd } from './path-reading.ts';

export class PrefixStrip {
  private readonly segments: readonly string[];
  /** The same as a path without a final slash; '' = nothing is cut. */
  private readonly prefix: string;

  /** @param prefix a path, with or without a final slash, or ''. */
  constructor(prefix: string) {
    this.segments = normalPath(prefix)
      .split('/')
      .filter((segment) => segment !== '');
    this.prefix = this.segments.map((segment) => `/${segment}`).join('');
  }

  /**
   * @param target origin form, or `*`.
   * @returns it as it came, less the prefix; whole where its path is not below the prefix. What is left begins with one
   * slash: more of them, or a backslash, would make a host's name of what follows.
   */
  rewrite(target: string): string {
    if (this.prefix === '' || !target.startsWith('/')) return target;
    const question = target.indexOf('?');
    const pathEnd = question < 0 ? target.length : question;
    const path = target.slice(0, pathEnd);
    let start = isUnusual(path) ? prefixEnd(path, this.segments) : this.plainEnd(path);
    if (start < 0) return target;
    while (path[start] === '/' || path[start] === '\\') start++;
    return '/' + target.slice(start);
  }

  /** As prefixEnd(), of a path that is in normal form. */
  private plainEnd(path: string): number {
    const { length } = this.prefix;
    const isBelow =
      path.startsWith(this.prefix) && (path.length === length || path[length] === '/');
    return isBelow ? length : -1;
  }
}
