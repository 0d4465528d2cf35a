/** The module of web/wasm, a character for each byte, each one higher; build.mjs puts it there. */
declare module 'ssekit:wasm' {
  const wasm: string
  export default wasm
}
