/** The module of web/wasm: a character for each byte, each one higher, or compiled. build.mjs puts it there. */
declare module 'ssekit:wasm' {
  const wasm: string | WebAssembly.Module
  export default wasm
}
