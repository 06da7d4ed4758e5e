// What is used of koffi. It is an optional dependency: where it could not be installed, its own types are missing, too.
declare module 'koffi' {
  interface Library {
    /** @param declaration of a C function. @throws Error when there is no such function. */
    func(declaration: string): unknown;
  }
  const koffi: {
    /** @param path null: what the process has loaded already. */
    load(path: null): Library;
  };
  export default koffi;
}
