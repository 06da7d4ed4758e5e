// What is used of koffi. It is an optional dependency: where it could not be installed, its own types are missing, too.
declare module 'koffi' {
  interface Library {
    /** @param declaration of a C function. @throws Error when there is no such function. */
    func(declaration: string): unknown;
  }
  const koffi: {
    /** @param path null: what the process has loaded already. */
    load(path: null): Library;
    /** @param address as it stands in memory. @param type of C, which says what becomes of it. */
    decode(address: Uint8Array, type: string): unknown;
    /** The memory itself, not a copy. @param pointer from decode(). */
    view(pointer: unknown, byteCount: number): ArrayBuffer;
  };
  export default koffi;
}
