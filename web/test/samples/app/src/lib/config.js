import { env } from '$env/dynamic/private'

export const databaseURL = env.DATABASE_URL
