/** Face ids by row, as bytes of one block: a row costs the length of its id and 4 bytes. */
export interface FaceIds {
  readonly length: number
  idOf(row: number): string
  add(faceId: string): void
}

/** Longer ids only make the block grow. */
const TYPICAL_BYTES = 32
/** Most bytes that UTF-8 takes for a unit of a JavaScript string. */
const UNIT_BYTES = 3

/** Opens an empty list with room for `room` ids. */
export function openFaceIds(room: number): FaceIds {
  const ends = new Uint32Array(room)
  let block = Buffer.alloc(room * TYPICAL_BYTES)
  let length = 0
  const startOf = (row: number): number => (row === 0 ? 0 : ends[row - 1]!)
  return {
    get length() {
      return length
    },
    idOf: row => block.toString('utf8', startOf(row), ends[row]),
    add(faceId) {
      const start = startOf(length)
      const most = start + UNIT_BYTES * faceId.length
      if (most > block.length) {
        const larger = Buffer.alloc(2 * most)
        block.copy(larger)
        block = larger
      }
      ends[length++] = start + block.write(faceId, start, 'utf8')
    },
  }
}

/** The first row of a face id; undefined where there is none. */
export type FaceIndex = (faceId: string) => number | undefined

const EMPTY = -1

/** Indexes the ids as they stand: 8 to 16 bytes a row, for as long as the index is kept. */
export function openFaceIndex({ length, idOf }: Pick<FaceIds, 'length' | 'idOf'>): FaceIndex {
  const mask = 2 ** Math.ceil(Math.log2(2 * length + 1)) - 1
  const slots = new Int32Array(mask + 1).fill(EMPTY)
  /** The slot of an id, or the empty one where it belongs. */
  const slotOf = (faceId: string): number => {
    let slot = hashOf(faceId) & mask
    for (let row; (row = slots[slot]!) !== EMPTY; slot = (slot + 1) & mask)
      if (idOf(row) === faceId) break
    return slot
  }
  for (let row = 0; row < length; row++) {
    const slot = slotOf(idOf(row))
    if (slots[slot] === EMPTY) slots[slot] = row
  }
  return faceId => {
    const row = slots[slotOf(faceId)]!
    return row === EMPTY ? undefined : row
  }
}

/** FNV-1a over the units of a string, its bits mixed once more: ids differ in their last digits. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 15), 0x735a2d97)
  return hash ^ (hash >>> 15)
}
