export { produce } from 'sveltekit-sse'
