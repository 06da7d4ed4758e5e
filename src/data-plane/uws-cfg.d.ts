// What uWebSockets.js exports and its type file leaves out.
export {};

declare module 'uWebSockets.js' {
  /** Sets a hidden option, process-wide. */
  export function _cfg(key: string): void;

  /** A message piece by piece; the returns are those of send(). */
  interface WebSocket<UserData> {
    sendFirstFragment(piece: RecognizedString, isBinary: boolean): number;
    sendFragment(piece: RecognizedString): number;
    sendLastFragment(piece: RecognizedString): number;
    getUserData(): UserData;
  }
}
