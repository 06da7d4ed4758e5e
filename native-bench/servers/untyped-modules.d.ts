// The part of http-proxy that is used here; the package brings no types.
declare module 'http-proxy' {
  import type { Agent, IncomingMessage, ServerResponse } from 'node:http';

  interface ProxyServer {
    web(
      request: IncomingMessage,
      response: ServerResponse,
      options: { readonly target: string },
      onError: (error: Error) => void,
    ): void;
  }
  const httpProxy: { createProxyServer(options: { readonly agent: Agent }): ProxyServer };
  export default httpProxy;
}
