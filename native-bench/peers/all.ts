// Every peer, in the order of the reports. The first is what the others are compared with.
import { go } from './go.ts';
import { haproxy } from './haproxy.ts';
import {
  millraceAuto,
  millraceAuto2,
  millraceUndici,
  millraceWire,
  millraceWireFew,
} from './millrace.ts';
import { nginx, nginx2, nginxBuffers } from './nginx.ts';
import { fastProxy, fastProxyUndici, httpProxy, uws } from './node-server.ts';
import type { Peer } from './peer.ts';
import { relay } from './relay.ts';

/** The peer whose cost is 1 in every ratio. */
export const BASELINE: Peer = nginx;

/** All peers. */
export const PEERS: readonly Peer[] = [
  nginx,
  nginxBuffers,
  nginx2,
  haproxy,
  relay,
  uws,
  millraceWire,
  millraceWireFew,
  millraceAuto,
  millraceAuto2,
  millraceUndici,
  go,
  fastProxy,
  fastProxyUndici,
  httpProxy,
];
