export * from './table.ts'
export * from './tables.ts'
export { encodeRows, encodeShard, decodeShard } from './shard.ts'
export * from './file-digest.ts'
export * from './manifest.ts'
export {
  damageOf,
  inputOf,
  openArtifact,
  openEarlier,
  readManifest,
  type Artifact,
  type BytesPlace,
} from './artifact.ts'
export { openForgotten, type Forgotten } from './forgotten.ts'
export { openGroups, type Groups } from './groups.ts'
export { openParts, partPath, type Parts } from './parts.ts'
export { writeArtifact, type ArtifactSpec, type ArtifactWriter } from './artifact-writer.ts'
export { isLocked, takeLock } from './lock.ts'
export { writeFolder } from './durable.ts'
export { encodeEvent, encodeEventStart } from './event-file.ts'
export * from './foreign/index.ts'
