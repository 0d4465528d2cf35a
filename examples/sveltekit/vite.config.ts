import { sveltekit } from '@sveltejs/kit/vite'
import { defineConfig } from 'vite'

export default defineConfig(({ mode }) => {
  // With `--mode rust`, the Rust server answers requests below /api, and src/routes/api is not used.
  const rust = process.env.RUST_SERVER ?? 'http://127.0.0.1:3001'
  const proxy = mode === 'rust' ? { '/api': rust } : undefined
  return { plugins: [sveltekit()], server: { proxy }, preview: { proxy } }
})
