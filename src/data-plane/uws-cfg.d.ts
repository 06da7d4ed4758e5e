// What uWebSockets.js exports and its type file leaves out.
export {};

declare module 'uWebSockets.js' {
  /** Sets a hidden option, process-wide. */
  export function _cfg(key: string): void;
}
