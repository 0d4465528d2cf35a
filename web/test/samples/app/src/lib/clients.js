// src/lib/clients.js
/** @type {Map<string,(eventName:string,data:string)=>import('ssekit').Unsafe<void,Error>>} */
export const clients = new Map()
