// Who may use the admin API: whoever has the token, and no web page. A page that an operator's browser has open
// can send requests to a loopback port; its requests say where they come from (Origin), and one that reaches
// the port by a name of its own (DNS rebinding) says that name in Host.
import { createHash, timingSafeEqual } from 'node:crypto';
import { isIP } from 'node:net';

/** The parts of a request that tell who asks. */
export interface Asking {
  readonly authorization: string | undefined;
  readonly origin: string | undefined;
  readonly host: string | undefined;
}

/** @returns '' when allowed, else why not. @param token '' = none is asked for. */
export function refusalOf(asking: Asking, token: string): '' | 'token' | 'origin' {
  if (asking.origin !== undefined && hostOfOrigin(asking.origin) !== asking.host) return 'origin';
  if (token === '') return isOwnName(asking.host ?? '') ? '' : 'origin';
  const [scheme = '', given = ''] = (asking.authorization ?? '').split(' ', 2);
  return scheme.toLowerCase() === 'bearer' && isSame(given, token) ? '' : 'token';
}

function hostOfOrigin(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}

/** An address or localhost: no name that somebody else's name server answers for. */
function isOwnName(host: string): boolean {
  const name = host.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
  return name === '' || name === 'localhost' || isIP(name) !== 0;
}

/** Takes the same time wherever the two differ, and whatever their lengths are. */
function isSame(given: string, token: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(token));
}
