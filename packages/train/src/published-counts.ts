import { StageError, type Log } from '@deepfever/core'
import { readCard, type Card } from '@deepfever/datasets'
import type { TrainingData } from './training-data.ts'

/**
 * Part of FEC's public list that must be there. A clear vote and photographs that can still be
 * fetched have left five sixths to others; below half, something else is the matter.
 */
const LEAST_PART = 1 / 2

/** PowderFaces was never released. */
const PAPER_UNLABELLED = 'about 1,000,000 of 20,000 clips, in the paper; not released'

/** Training faces of each class beside the card's; those that differ, as text. */
function classDifferences({ classes, counts }: Card, data: TrainingData, log: Log): string[] {
  const published = counts['train'] ?? []
  const found = classes.map(() => 0)
  for (const row of data.labelled) {
    const label = data.faces.labelOf(row)
    found[label] = (found[label] ?? 0) + 1
  }
  return classes.flatMap((name, i) => {
    log.event('class', { name, found: found[i], published: published[i] })
    return found[i] === published[i] ? [] : [`${name} ${found[i]} (${published[i]})`]
  })
}

/** Training triplets beside what others counted; as text where they are out of the public list. */
function tripletDifferences({ sizes = [] }: Card, data: TrainingData, log: Log): string[] {
  const { triplets, heldOut } = data
  const found = triplets.length + heldOut.length
  log.event('triplets', { found, training: triplets.length, heldOut: heldOut.length })
  const counted = sizes.filter(({ split }) => split === 'train')
  for (const { of, low, high, source } of counted)
    log.event('triplets published', { of, ...(low === high ? { low } : { low, high }), source })
  const list = counted[0]
  if (list === undefined) return []
  const least = Math.ceil(list.low * LEAST_PART)
  return found < least || found > list.high ? [`${found} (${least} to ${list.high})`] : []
}

/**
 * Says how many faces and triplets there are beside the published counts. AffectNet's classes must
 * be exact; FEC, of which no exact count exists, must hold half to all of its public list.
 *
 * @throws StageError with all that differ, unless `anyCounts`
 */
export async function compareCounts(
  data: TrainingData,
  anyCounts: boolean,
  log: Log,
): Promise<void> {
  const classes = classDifferences(await readCard('affectnet'), data, log)
  const triplets = tripletDifferences(await readCard('fec'), data, log)
  if (data.unlabelled.length > 0)
    log.event('unlabelled', { found: data.unlabelled.length, published: PAPER_UNLABELLED })
  const differences = [
    ...(classes.length > 0 ? [`affectnet: training faces of ${classes.join(', ')}`] : []),
    ...(triplets.length > 0 ? [`fec: training triplets ${triplets.join()}`] : []),
  ]
  if (differences.length > 0 && !anyCounts)
    throw new StageError(
      `counts beside the published ones, which stand in brackets: ${differences.join('; ')}; ` +
        'look at what detection turned away, or plan with these: --any-counts',
      { differences },
    )
}
