/** The module of web/wasm: a character for each byte, XOR 119, or compiled. build.mjs puts it there. */
declare module 'ssekit:wasm' {
  const wasm: string | WebAssembly.Module
  export default wasm
}
