// First stop of a request: reads it off uWebSockets.js, refuses what another parser could read otherwise, and
// builds the header block that is sent on. Runs on a worker thread, synchronously inside the handler's turn:
// `req` is dead afterwards. One reader a worker, reused for each request.
import type { HttpRequest } from 'uWebSockets.js';
import type { ExchangeErrorCode } from '../errors.ts';
import { BODY_CHUNKED, BODY_NONE } from './upstream/engine.ts';

/** Any byte that must not stand in a header block: controls, DEL and above, and CR or LF that end no line. */
const FORBIDDEN_IN_BLOCK = /[^\t\r\n\x20-\x7e]|\r[^\n]|[^\r]\n/;
/** A target is visible ASCII; uWS has dropped the spaces around it. */
const FORBIDDEN_IN_TARGET = /[^\x21-\x7e]/;
/** reg-name, IPv4 or [IPv6], with an optional port. Source: RFC 3986 §3.2.2, RFC 9110 §7.2. */
const HOST = /^(?:[A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?$/;
/** Source: RFC 9110 §5.6.2. */
const METHOD = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const DIGITS = /^[0-9]{1,15}$/;

/** Headers a client may not send in a spelling that some servers fold into the ones we set. */
const FOLDED_NAMES = /^(?:x[_-]forwarded[_-](?:for|proto|host|port)|x[_-]real[_-]ip)$/;

/** What was read. Fields are valid until the next read(). */
export class RequestReader {
  method = '';
  /** Origin form: path and query as they came. */
  target = '';
  /** The path part of the target. */
  path = '';
  query: string | undefined = undefined;
  host = '';
  /** `name: value\r\n` lines without Host, hop-by-hop, framing and forwarding headers. */
  block = '';
  /** BODY_NONE, BODY_CHUNKED or a length ≥ 0. */
  bodyLength: number = BODY_NONE;
  /** As received; '' = absent. */
  forwardedFor = '';
  forwardedProto = '';
  forwardedHost = '';
  forwarded = '';
  headerCount = 0;
  /** Textual address of the client, as trusted proxies tell it; set by the listener after read(). */
  clientAddress = '';

  private hostCount = 0;
  private contentLength = '';
  private contentLengthConflict = false;
  private transferEncoding = '';
  private connection = '';
  private hasFoldedName = false;
  private upgrade = '';
  /** Bound once: a closure per request would be garbage per request. */
  private readonly visit = (name: string, value: string): void => this.add(name, value);

  /**
   * Reads the request.
   * @returns '' or the error to answer with.
   */
  read(req: HttpRequest, headerCountMax: number): ExchangeErrorCode | '' {
    this.host = '';
    this.block = '';
    this.bodyLength = BODY_NONE;
    this.forwardedFor = '';
    this.forwardedProto = '';
    this.forwardedHost = '';
    this.forwarded = '';
    this.headerCount = 0;
    this.hostCount = 0;
    this.contentLength = '';
    this.contentLengthConflict = false;
    this.transferEncoding = '';
    this.connection = '';
    this.hasFoldedName = false;
    this.upgrade = '';
    this.method = req.getCaseSensitiveMethod();
    this.path = req.getUrl();
    this.query = req.getQuery();
    this.target = this.query === undefined ? this.path : this.path + '?' + this.query;
    req.forEach(this.visit);
    return this.check(headerCountMax);
  }

  /** The value of a request header that is passed on; '' when absent. Off the fast path: it searches the block. */
  headerValue(name: string): string {
    if (name === 'host') return this.host;
    const lines = '\r\n' + this.block;
    const start = lines.indexOf('\r\n' + name + ': ');
    if (start < 0) return '';
    const from = start + name.length + 4;
    return lines.slice(from, lines.indexOf('\r\n', from));
  }

  private check(headerCountMax: number): ExchangeErrorCode | '' {
    if (this.headerCount > headerCountMax) return 'header-limit';
    if (this.hostCount !== 1 || !HOST.test(this.host)) return 'bad-request';
    if (FORBIDDEN_IN_TARGET.test(this.target) || this.target.charCodeAt(0) !== 0x2f) {
      return 'bad-request';
    }
    if (this.hasFoldedName || FORBIDDEN_IN_BLOCK.test(this.block)) return 'bad-request';
    if (this.method !== 'GET' && !METHOD.test(this.method)) return 'bad-request';
    if (this.transferEncoding !== '') {
      if (this.contentLength !== '') return 'bad-request';
      if (this.transferEncoding.toLowerCase() !== 'chunked') return 'not-implemented';
      this.bodyLength = BODY_CHUNKED;
    } else if (this.contentLength !== '') {
      if (this.contentLengthConflict || !DIGITS.test(this.contentLength)) return 'bad-request';
      this.bodyLength = Number(this.contentLength);
    }
    if (this.connection !== '') this.removeConnectionNamed();
    return '';
  }

  // The comparisons are grouped by length: most headers are passed on after one integer switch.
  private add(name: string, value: string): void {
    this.headerCount++;
    switch (name.length) {
      case 2:
        if (name === 'te') return;
        break;
      case 4:
        if (name === 'host') {
          this.host = value;
          this.hostCount++;
          return;
        }
        break;
      case 6:
        // uWS has answered 100-continue itself; the upstream must not wait for a second one.
        if (name === 'expect') return;
        break;
      case 7:
        if (name === 'trailer') return;
        if (name === 'upgrade') {
          this.upgrade = value;
          return;
        }
        break;
      case 9:
        if (name === 'forwarded') {
          this.forwarded = this.forwarded === '' ? value : this.forwarded + ', ' + value;
          return;
        }
        if (FOLDED_NAMES.test(name)) {
          if (name !== 'x-real-ip') this.hasFoldedName = true;
          return;
        }
        break;
      case 10:
        if (name === 'keep-alive') return;
        if (name === 'connection') {
          // Nearly always one of these two, which name no header.
          if (value !== 'keep-alive' && value !== 'close') this.connection += value + ',';
          return;
        }
        break;
      case 14:
        if (name === 'content-length') {
          if (this.contentLength !== '') this.contentLengthConflict = true;
          this.contentLength = value === '' ? 'none' : value;
          return;
        }
        break;
      case 15:
      case 16:
      case 17:
        if (name === 'proxy-connection') return;
        if (name === 'transfer-encoding') {
          this.transferEncoding += (this.transferEncoding === '' ? '' : ', ') + value;
          return;
        }
        if (name === 'x-forwarded-for') {
          this.forwardedFor = this.forwardedFor === '' ? value : this.forwardedFor + ', ' + value;
          return;
        }
        if (name === 'x-forwarded-proto') {
          this.forwardedProto = value;
          return;
        }
        if (name === 'x-forwarded-host') {
          this.forwardedHost = value;
          return;
        }
        if (FOLDED_NAMES.test(name)) {
          if (name.includes('_')) this.hasFoldedName = true;
          return;
        }
        break;
      case 19:
        if (name === 'proxy-authorization') return;
        break;
      default:
        break;
    }
    this.block += name + ': ' + value + '\r\n';
  }

  /** Takes out the headers that `Connection` names: they were for this hop. Source: RFC 9110 §7.6.1. */
  private removeConnectionNamed(): void {
    const names = this.connection.toLowerCase().split(',');
    for (const entry of names) {
      const name = entry.trim();
      if (name === '' || name === 'close' || name === 'keep-alive') continue;
      let lines = '\r\n' + this.block;
      for (;;) {
        const start = lines.indexOf('\r\n' + name + ': ');
        if (start < 0) break;
        const end = lines.indexOf('\r\n', start + 2);
        lines = lines.slice(0, start) + lines.slice(end);
      }
      this.block = lines.slice(2);
    }
  }

  /** Value of Upgrade; '' = none asked for. */
  get upgradeProtocol(): string {
    return this.upgrade;
  }
}
