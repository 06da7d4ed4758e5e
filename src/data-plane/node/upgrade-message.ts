// Node takes every request with an Upgrade header off its HTTP server once somebody listens for upgrades. Offers of other
// protocols than WebSocket are not taken up, so their requests, bodies included, are to stay what they are. Node asks
// `upgrade` of each message before it decides; this one says yes to WebSockets only. Used by http1-connections.ts.
import { IncomingMessage } from 'node:http';
import { namesWebSocket } from '../websocket/handshake.ts';

export class UpgradeMessage extends IncomingMessage {
  private isUpgrade = false;

  set upgrade(isUpgrade: boolean) {
    this.isUpgrade = isUpgrade;
  }

  get upgrade(): boolean {
    if (!this.isUpgrade || this.method === 'CONNECT') return this.isUpgrade;
    return this.httpVersionMinor === 1 && namesWebSocket(this.headers.upgrade ?? '');
  }
}
