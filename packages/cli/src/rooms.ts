import type { Stage } from '@deepfever/core'

/** What a room's index.ts exports to the command line. */
export interface Room {
  readonly stages: readonly Stage[]
}

/** Rooms by their first word on the command line; each is loaded only when it is asked for. */
export const rooms: Readonly<Record<string, () => Promise<Room>>> = {
  runtime: () => import('@deepfever/runtime/native'),
  datasets: () => import('@deepfever/datasets'),
  models: () => import('@deepfever/models'),
  ingest: () => import('@deepfever/ingest'),
  detect: () => import('@deepfever/detect'),
  'ingest+detect': () => import('./ingest-detect.ts'),
  targets: () => import('@deepfever/targets'),
  train: () => import('@deepfever/train'),
  eval: () => import('@deepfever/eval'),
  extract: () => import('@deepfever/extract'),
  similar: () => import('@deepfever/extract'),
  info: () => import('@deepfever/extract'),
  data: () => import('./data-forget.ts'),
}
