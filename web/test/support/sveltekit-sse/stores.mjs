export { derived, fromStore, get } from 'svelte/store'
