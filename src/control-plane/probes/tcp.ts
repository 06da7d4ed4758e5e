// The tcp probe: an endpoint that accepts a connection, and finishes the TLS handshake where the upstream has
// TLS, is well. Also what tells that an endpoint ejected for refused connections may come back.
import { type Probe, type ProbeResult, failedBy, passed, timedOut } from './probe.ts';
import { openSocket, tlsOptionsOf } from './socket.ts';

export const probeTcp: Probe = async (target) => {
  try {
    const tls = target.tls === null ? null : await tlsOptionsOf(target.address, target.tls);
    const { socket, readyEvent } = openSocket(target, tls);
    return await new Promise<ProbeResult>((resolve) => {
      const finish = (result: ProbeResult): void => {
        clearTimeout(timer);
        resolve(result);
        socket.destroy();
      };
      const timer = setTimeout(() => finish(timedOut(target)), target.healthCheck.timeoutMs);
      socket.once(readyEvent, () => finish(passed('connected')));
      // Stays attached: a socket that was destroyed may still report what it ran into.
      socket.on('error', (error) => finish(failedBy(error)));
    });
  } catch (error) {
    return failedBy(error);
  }
};
