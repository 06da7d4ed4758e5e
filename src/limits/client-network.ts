// Whom a limit by client address counts. Pure.

/**
 * An IPv4 address is itself; of an IPv6 address the first 64 bits count, since one client commonly has all the
 * addresses behind them (RFC 4291 §2.5.4, RFC 6177) and could otherwise take a new one for each request.
 * @param address as the proxy writes addresses: dotted, or IPv6 in lower case, possibly compressed; '' = unknown.
 */
export function clientNetwork(address: string): string {
  if (!address.includes(':')) return address;
  const compressed = address.indexOf('::');
  let end = -1;
  for (let group = 0; group < 4; group++) {
    const next = address.indexOf(':', end + 1);
    // Fewer than four groups before the compression: the rest of the four is zero, or follows the compression.
    if (compressed >= 0 && next >= compressed) return compressedNetwork(address, compressed);
    end = next;
  }
  return address.slice(0, end);
}

function compressedNetwork(address: string, compressed: number): string {
  const groups = compressed === 0 ? [] : address.slice(0, compressed).split(':');
  const tail = address.slice(compressed + 2);
  const after = tail === '' ? [] : tail.split(':');
  while (groups.length + after.length < 8) groups.push('0');
  return [...groups, ...after].slice(0, 4).join(':');
}
