// First stop of a request: reads it off uWebSockets.js or Node's servers, refuses what another parser could read
// otherwise, and builds the header block that is sent on: one definition of what is a clean request for both.
// Runs on a worker thread, synchronously inside the handler's turn: `req` is dead afterwards. One reader a
// listener, reused for each request.
import type { HttpRequest } from 'uWebSockets.js';
import type { ExchangeErrorCode } from '../errors.ts';
import { SPACE } from './http1-bytes.ts';
import { type HeadMemory, ReceivedHead } from './received-head.ts';
import { trimmedPart } from './upstream/header-block.ts';
import { BODY_CHUNKED, BODY_NONE, BODY_UPGRADE } from './upstream/engine.ts';
import { namesWebSocket, refusalOfHandshake } from './websocket/handshake.ts';

/** Any byte that must not stand in a header block: controls, DEL and above, and CR or LF that end no line. */
const FORBIDDEN_IN_BLOCK = /[^\t\r\n\x20-\x7e]|\r[^\n]|[^\r]\n/;
const FORBIDDEN_IN_VALUE = /[^\t\x20-\x7e]/;
/** A target is visible ASCII and has no fragment; uWS has dropped the spaces around it. */
const FORBIDDEN_IN_TARGET = /[^\x21\x22\x24-\x7e]/;
/** reg-name, IPv4 or [IPv6], with an optional port. Source: RFC 3986 §3.2.2, RFC 9110 §7.2. */
const HOST = /^(?:[A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?$/;
/** Source: RFC 9110 §5.6.2. */
const METHOD = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** Two spaces, the version and the end of the line; a header has a colon, a space and an end. */
const REQUEST_LINE_REST = '  HTTP/1.1\r\n'.length;
const HEADER_REST = ': \r\n'.length;
const DIGITS = /^[0-9]{1,15}$/;

/**
 * The headers that the proxy writes itself, in any spelling that a server behind may fold into one: gateways to CGI-like
 * interfaces turn every sign of a name into the same one. Source: RFC 3875 §4.1.18.
 */
const OWN_NAMES =
  /^(?:x[^a-z0-9]forwarded[^a-z0-9](?:for|proto|host|port)|x[^a-z0-9]real[^a-z0-9]ip|x[^a-z0-9]millrace[^a-z0-9]mirror|content[^a-z0-9]length|transfer[^a-z0-9]encoding)$/;
const OTHER_SIGN = /[^a-z0-9-]/;

/** scheme://authority/path?query: what a client sends to a proxy, and may send to any server. RFC 9112 §3.2.2. */
const ABSOLUTE_FORM = /^https?:\/\/([^/?#]*)(.*)$/i;

/** HTTP versions a RawRequest may have. */
export const HTTP_1_0 = 10;
export const HTTP_1_1 = 11;
export const HTTP_2 = 20;

/** A request as Node's servers hand it over: text is latin1, one character a byte. */
export interface RawRequest {
  readonly version: typeof HTTP_1_0 | typeof HTTP_1_1 | typeof HTTP_2;
  readonly method: string;
  /** As received: origin form, absolute form or `*`. */
  readonly target: string;
  /** name, value, name, value … as received; names that begin with a colon are passed over. */
  readonly rawHeaders: readonly string[];
  /** HTTP/2's :authority; '' when absent, and always in HTTP/1. */
  readonly authority: string;
  /** Stands in for the Host that an HTTP/1.0 client need not send. */
  readonly localHost: string;
  /** HTTP/2: the stream was not ended by its headers, so a body may follow without being announced. */
  readonly isOpen: boolean;
  /** HTTP/2: as in UpstreamRequest. */
  readonly sensitiveNames?: readonly string[];
}

/** Where uWebSockets.js receives: ReceiveBuffer. */
export interface HeadBuffer extends HeadMemory {
  holds(req: HttpRequest): boolean;
}

const CRLF = '\r\n';

/** The names that isPassedOn() does something about; those of OWN_NAMES in their one proper spelling. */
const NOTED_NAMES: readonly string[] = [
  'connection',
  'content-length',
  'early-data',
  'expect',
  'forwarded',
  'grpc-timeout',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-proto',
  'x-millrace-mirror',
  'x-real-ip',
];
const NO_NAMES: readonly string[] = [];

/** What was read. Fields are valid until the next read() or readRaw(). */
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
  /**
   * The request line and all header lines as they came, when Host comes first and block has all the others, unchanged; '' when
   * something is to be composed.
   */
  received = '';
  /** The forwarding header lines for it, in the same form; set when it is known who sent it. */
  forwarding = '';
  /** BODY_NONE, BODY_CHUNKED, BODY_UPGRADE or a length ≥ 0. */
  bodyLength: number = BODY_NONE;
  /** As received; '' = absent. */
  forwardedFor = '';
  forwardedProto = '';
  forwardedHost = '';
  forwarded = '';
  headerCount = 0;
  /** The client said `TE: trailers`. */
  acceptsTrailers = false;
  /** As in UpstreamRequest. */
  mayHaveTrailers = false;
  /** As in UpstreamRequest. */
  sensitiveNames: readonly string[] = NO_NAMES;
  /** As received, and passed on; '' = absent. */
  grpcTimeout = '';
  /** The request came in TLS early data, says who took it off TLS before us: it may have been replayed. */
  isEarly = false;
  /** The client asks for the connection to be closed, in words that uWS may not know. */
  isLastAsked = false;
  /** As in UpstreamRequest; the listener's, set once. */
  messageBytesMax = 0;
  /** Textual address of the client, as trusted proxies tell it; set by the listener after read(). */
  clientAddress = '';

  /** It was read as it came, not as uWebSockets.js tells it. */
  isHeadSeen = false;
  /** Where heads stand as they come; null: not known. The listener's, set once. */
  receiveBuffer: HeadBuffer | null = null;

  private readonly head: ReceivedHead = new ReceivedHead(NOTED_NAMES);
  private headerBytes = 0;
  private hostCount = 0;
  /** The last one that was looked at and found sound; most requests name it again. null = none yet: '' is not sound. */
  private soundHost: string | null = null;
  /** As a line of a head; '' when there is none. */
  private soundHostLine = '';
  private contentLength = '';
  private contentLengthConflict = false;
  private transferEncoding = '';
  private connection = '';
  private hasFoldedName = false;
  private upgrade = '';
  /** Connection names Upgrade. */
  private isUpgradeAsked = false;
  /** The version of HTTP knows Upgrade. */
  private mayUpgrade = true;
  /** Bound once: a closure per request would be garbage per request. */
  private readonly visit = (name: string, value: string): void => this.add(name, value);

  /** Where heads are seen, this one was not: it came in pieces. */
  get isHeadMissed(): boolean {
    return this.receiveBuffer !== null && !this.isHeadSeen;
  }

  /**
   * Reads the request.
   * @returns '' or the error to answer with.
   */
  read(
    req: HttpRequest,
    headerCountMax: number,
    headerBytesMax = Infinity,
  ): ExchangeErrorCode | '' {
    this.reset();
    const { receiveBuffer } = this;
    this.isHeadSeen = receiveBuffer !== null && receiveBuffer.holds(req);
    if (!this.isHeadSeen) {
      this.readTold(req);
    } else if (this.head.read(receiveBuffer!)) {
      this.takeHead();
    } else {
      this.method = this.head.methodIn(receiveBuffer!);
      return 'bad-request';
    }
    // uWebSockets.js knows one limit for the process, the largest of any listener.
    if (this.headerBytes > headerBytesMax) return 'header-limit';
    return this.check(headerCountMax);
  }

  /** What uWebSockets.js says of a request. */
  private readTold(req: HttpRequest): void {
    const method = req.getCaseSensitiveMethod();
    // The constant in place of an equal text: later comparisons end at once, and its hash is known.
    this.method = method === 'GET' ? 'GET' : method;
    this.path = req.getUrl();
    this.query = req.getQuery();
    this.target = this.query === undefined ? this.path : this.path + '?' + this.query;
    this.headerBytes = this.method.length + this.target.length + REQUEST_LINE_REST;
    req.forEach(this.visit);
  }

  /** Takes over what was received. Most lines are passed on as they stand, many in one piece. */
  private takeHead(): void {
    const { text, methodEnd, linesStart, noted, notedCount, lineCount } = this.head;
    const method = text.slice(0, methodEnd);
    this.method = method === 'GET' ? 'GET' : method;
    this.splitTarget(text.slice(methodEnd + 1, this.head.targetEnd));
    this.headerBytes = text.length;
    this.headerCount = lineCount;
    let keptFrom = linesStart;
    for (let index = 0; index < notedCount; index += 3) {
      const start = noted[index]!;
      const colon = noted[index + 1]!;
      const end = noted[index + 2]!;
      if (keptFrom < start) this.block += text.slice(keptFrom, start);
      keptFrom = end + CRLF.length;
      if (!this.takeSoundHost(text, start, end)) {
        this.visitLine(text.slice(start, colon), trimmedPart(text, colon + 1, end));
      }
    }
    if (keptFrom < text.length) this.block += text.slice(keptFrom);
    // Host alone was noted, before all others, and as it is written here.
    const isUnchanged =
      notedCount === 3 &&
      noted[0] === linesStart &&
      this.hostCount === 1 &&
      this.host.length === noted[2]! - noted[1]! - 2 &&
      text.charCodeAt(noted[1]! + 1) === SPACE;
    if (isUnchanged) this.received = text;
  }

  /** Takes a line that is the Host found sound before, to the letter. @returns false: it is another, or an other. */
  private takeSoundHost(text: string, start: number, end: number): boolean {
    const { soundHostLine } = this;
    if (end - start !== soundHostLine.length || !text.startsWith(soundHostLine, start))
      return false;
    this.host = this.soundHost!;
    this.hostCount++;
    return true;
  }

  private visitLine(name: string, value: string): void {
    if (this.isPassedOn(name, value)) this.block += name + ': ' + value + CRLF;
  }

  private splitTarget(target: string): void {
    this.target = target;
    const question = target.indexOf('?');
    this.path = question < 0 ? target : target.slice(0, question);
    this.query = question < 0 ? undefined : target.slice(question + 1);
  }

  /**
   * Reads a request that Node has parsed.
   * @returns '' or the error to answer with.
   */
  readRaw(request: RawRequest, headerCountMax: number): ExchangeErrorCode | '' {
    this.reset();
    this.method = request.method;
    const { rawHeaders, version } = request;
    const isHttp2 = version === HTTP_2;
    // HTTP/2 has a frame for them, and every client reads it.
    this.acceptsTrailers = isHttp2;
    this.mayHaveTrailers = isHttp2;
    this.sensitiveNames = request.sensitiveNames ?? NO_NAMES;
    this.mayUpgrade = version === HTTP_1_1;
    let cookie = '';
    for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
      const name = rawHeaders[index]!.toLowerCase();
      const value = rawHeaders[index + 1]!;
      if (name.charCodeAt(0) === 0x3a) continue;
      // Node's parsers refuse controls, but can be told not to (--insecure-http-parser).
      if (FORBIDDEN_IN_VALUE.test(value)) return 'bad-request';
      if (isHttp2 && name === 'cookie') {
        // HTTP/2 clients send a field for each cookie; HTTP/1 has one. Source: RFC 9113 §8.2.3.
        this.headerCount++;
        cookie += (cookie === '' ? '' : '; ') + value;
      } else {
        this.add(name, value);
      }
    }
    if (cookie !== '') this.block += 'cookie: ' + cookie + '\r\n';
    if (!this.readTarget(request)) return 'bad-request';
    // HTTP/1.0 has no chunks and HTTP/2 frames for itself: whoever sends the header means to be misread.
    if (version !== HTTP_1_1 && this.transferEncoding !== '') return 'bad-request';
    const refusal = this.check(headerCountMax);
    if (refusal === '' && this.bodyLength === BODY_NONE && request.isOpen) {
      this.bodyLength = BODY_CHUNKED;
    }
    return refusal;
  }

  /** Sets target, path, query and host. @returns false when the host is told twice in different words. */
  private readTarget(request: RawRequest): boolean {
    let { target } = request;
    if (request.version === HTTP_2) {
      if (request.authority !== '') {
        if (this.hostCount > 0 && this.host !== request.authority) return false;
        this.host = request.authority;
        // Several Hosts stay several.
        this.hostCount = Math.max(this.hostCount, 1);
      }
    } else {
      if (this.hostCount === 0 && request.version === HTTP_1_0) {
        this.host = request.localHost;
        this.hostCount = 1;
      }
      const absolute = ABSOLUTE_FORM.exec(target);
      if (absolute !== null) {
        // The Host header must be there and is not looked at. Source: RFC 9112 §3.2.2.
        this.host = absolute[1]!;
        target = originForm(request.method, absolute[2]!);
      }
    }
    this.splitTarget(target);
    return true;
  }

  private reset(): void {
    this.host = '';
    this.block = '';
    this.received = '';
    this.forwarding = '';
    this.bodyLength = BODY_NONE;
    this.forwardedFor = '';
    this.forwardedProto = '';
    this.forwardedHost = '';
    this.forwarded = '';
    this.headerCount = 0;
    this.headerBytes = 0;
    this.acceptsTrailers = false;
    this.mayHaveTrailers = false;
    this.sensitiveNames = NO_NAMES;
    this.grpcTimeout = '';
    this.isLastAsked = false;
    this.isEarly = false;
    this.hostCount = 0;
    this.contentLength = '';
    this.contentLengthConflict = false;
    this.transferEncoding = '';
    this.connection = '';
    this.hasFoldedName = false;
    this.upgrade = '';
    this.isUpgradeAsked = false;
    this.mayUpgrade = true;
  }

  /**
   * The value of a request header that is passed on, the first where there are several; '' when absent. Those that say
   * who the client is have the value that the upstream gets. Off the fast path: it searches the block.
   */
  headerValue(name: string): string {
    if (name === 'host') return this.host;
    const lines = '\r\n' + this.block + this.forwarding;
    const start = lines.indexOf('\r\n' + name + ': ');
    if (start < 0) return '';
    const from = start + name.length + 4;
    return lines.slice(from, lines.indexOf('\r\n', from));
  }

  /** Takes a header out of what is passed on. */
  removeHeader(name: string): void {
    this.removeHeaders(new Set([name]));
  }

  /** In one walk over the block, however many names there are: a client chooses both. */
  private removeHeaders(names: ReadonlySet<string>): void {
    let kept = '';
    let keptTo = 0;
    for (let start = 0; start < this.block.length;) {
      const end = this.block.indexOf('\r\n', start) + 2;
      if (names.has(this.block.slice(start, this.block.indexOf(':', start)))) {
        kept += this.block.slice(keptTo, start);
        keptTo = end;
      }
      start = end;
    }
    if (keptTo > 0) {
      this.block = kept + this.block.slice(keptTo);
      this.received = '';
    }
  }

  private check(headerCountMax: number): ExchangeErrorCode | '' {
    if (this.headerCount > headerCountMax) return 'header-limit';
    if (this.hostCount !== 1 || !this.isHostSound()) return 'bad-request';
    if (this.target.charCodeAt(0) !== 0x2f && !this.isServerWide()) return 'bad-request';
    if (this.hasFoldedName || (!this.isHeadSeen && this.isUnsound())) return 'bad-request';
    // A trusted proxy's are sent on, outside the block.
    const told = this.forwardedFor + this.forwardedProto + this.forwardedHost + this.forwarded;
    if (told !== '' && FORBIDDEN_IN_VALUE.test(told)) return 'bad-request';
    if (this.method !== 'GET') {
      // A gateway is no tunnel: with CONNECT, what follows the head would not be HTTP.
      if (!METHOD.test(this.method) || this.method === 'CONNECT') return 'bad-request';
    }
    if (this.transferEncoding !== '') {
      if (this.contentLength !== '') return 'bad-request';
      if (this.transferEncoding.toLowerCase() !== 'chunked') return 'not-implemented';
      this.bodyLength = BODY_CHUNKED;
    } else if (this.contentLength !== '') {
      if (this.contentLengthConflict || !DIGITS.test(this.contentLength)) return 'bad-request';
      this.bodyLength = Number(this.contentLength);
    }
    if (this.connection !== '') this.removeConnectionNamed();
    return this.upgrade === '' ? '' : this.readUpgrade();
  }

  /** What was received has been looked at byte by byte. */
  private isUnsound(): boolean {
    return FORBIDDEN_IN_TARGET.test(this.target) || FORBIDDEN_IN_BLOCK.test(this.block);
  }

  private isHostSound(): boolean {
    if (this.host === this.soundHost) return true;
    if (!HOST.test(this.host)) return false;
    this.soundHost = this.host;
    this.soundHostLine = 'host: ' + this.host;
    return true;
  }

  /** Only WebSocket is spoken beside HTTP; other offers to change the protocol are not taken up. RFC 9110 § 7.8. */
  private readUpgrade(): ExchangeErrorCode | '' {
    if (!this.mayUpgrade || !this.isUpgradeAsked || !namesWebSocket(this.upgrade)) return '';
    const hasBody = this.bodyLength !== BODY_NONE && this.bodyLength !== 0;
    const refusal = refusalOfHandshake(this.method, this.block, hasBody);
    this.bodyLength = BODY_UPGRADE;
    return refusal;
  }

  /** `OPTIONS *` asks about the server, not about a resource. */
  private isServerWide(): boolean {
    return this.target === '*' && this.method === 'OPTIONS';
  }

  // The comparisons are grouped by length: most headers are passed on after one integer switch.
  private add(name: string, value: string): void {
    this.headerCount++;
    this.headerBytes += name.length + value.length + HEADER_REST;
    this.visitLine(name, value);
  }

  /** Takes what it is about. @returns whether the header is passed on with the others. */
  private isPassedOn(name: string, value: string): boolean {
    switch (name.length) {
      case 2:
        if (name === 'te') {
          if (/\btrailers\b/i.test(value)) this.acceptsTrailers = true;
          return false;
        }
        break;
      case 4:
        if (name === 'host') {
          this.host = value;
          this.hostCount++;
          return false;
        }
        break;
      case 6:
        // uWS has answered 100-continue itself; the upstream must not wait for a second one.
        if (name === 'expect') return false;
        break;
      case 7:
        if (name === 'trailer') return false;
        if (name === 'upgrade') {
          this.upgrade += (this.upgrade === '' ? '' : ',') + value;
          return false;
        }
        break;
      case 9:
        if (name === 'forwarded') {
          this.forwarded = this.forwarded === '' ? value : this.forwarded + ', ' + value;
          return false;
        }
        if (this.isOwnName(name)) return false;
        break;
      case 10:
        if (name === 'keep-alive') return false;
        // Whatever its value. Source: RFC 8470 §5.1.
        if (name === 'early-data') this.isEarly = true;
        if (name === 'connection') {
          // Nearly always one of these two, which name no header.
          if (value !== 'keep-alive' && value !== 'close') this.connection += value + ',';
          return false;
        }
        break;
      case 12:
        if (name === 'grpc-timeout') this.grpcTimeout = value;
        break;
      case 14:
        if (name === 'content-length') {
          if (this.contentLength !== '') this.contentLengthConflict = true;
          this.contentLength = value === '' ? 'none' : value;
          return false;
        }
        // Part of an offer that is not taken up, also where Connection does not name it. Source: RFC 7540 §3.2.1.
        if (name === 'http2-settings') return false;
        if (this.isOwnName(name)) return false;
        break;
      case 15:
      case 16:
      case 17:
        if (name === 'proxy-connection') return false;
        if (name === 'transfer-encoding') {
          if (this.transferEncoding !== '') this.transferEncoding += ', ' + value;
          else this.transferEncoding = value === '' ? 'none' : value;
          return false;
        }
        if (name === 'x-forwarded-for') {
          this.forwardedFor = this.forwardedFor === '' ? value : this.forwardedFor + ', ' + value;
          return false;
        }
        if (name === 'x-forwarded-proto') {
          this.forwardedProto = value;
          return false;
        }
        if (name === 'x-forwarded-host') {
          this.forwardedHost = value;
          return false;
        }
        if (this.isOwnName(name)) return false;
        break;
      case 19:
        if (name === 'proxy-authorization') return false;
        break;
      default:
        break;
    }
    return true;
  }

  /** Whether the proxy writes the header itself; a spelling that is not ours condemns the request. */
  private isOwnName(name: string): boolean {
    if (!OWN_NAMES.test(name)) return false;
    if (OTHER_SIGN.test(name)) this.hasFoldedName = true;
    return true;
  }

  /** Takes out the headers that `Connection` names: they were for this hop. Source: RFC 9110 §7.6.1. */
  private removeConnectionNamed(): void {
    const names = new Set<string>();
    for (const entry of this.connection.toLowerCase().split(',')) {
      const name = entry.trim();
      if (name === 'close') this.isLastAsked = true;
      if (name === 'upgrade') this.isUpgradeAsked = true;
      if (name === '' || name === 'close' || name === 'keep-alive') continue;
      // Not for one hop, whatever is said here. Source: RFC 8470 §5.1.
      if (name === 'early-data') continue;
      names.add(name);
    }
    this.removeHeaders(names);
  }
}

/** @param rest what follows the authority in an absolute-form target. */
function originForm(method: string, rest: string): string {
  // Without path and query it asks about the server. Source: RFC 9112 §3.2.4.
  if (rest === '' && method === 'OPTIONS') return '*';
  return rest.startsWith('/') ? rest : '/' + rest;
}
