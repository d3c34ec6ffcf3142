/**
 * The part of the WebAssembly JavaScript interface that is used here. TypeScript ships it only together with the
 * browser's whole DOM, which has no place in this program.
 */
declare namespace WebAssembly {
  class Module {
    constructor(bytes: Uint8Array);
    static exports(module: Module): readonly { readonly name: string; readonly kind: string }[];
    static imports(
      module: Module,
    ): readonly { readonly module: string; readonly name: string; readonly kind: string }[];
    static customSections(module: Module, name: string): ArrayBuffer[];
  }
  function compile(bytes: Uint8Array): Promise<Module>;
}
