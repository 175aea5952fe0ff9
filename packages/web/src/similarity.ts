import { element } from './face-card.ts'

/** Cosine of two embeddings, -1 to 1. */
function cosineOf(a: Float32Array, b: Float32Array): number {
  let [ab, aa, bb] = [0, 0, 0]
  a.forEach((value, i) => {
    ab += value * b[i]!
    aa += value * value
    bb += b[i]! * b[i]!
  })
  return ab / Math.sqrt(aa * bb || 1)
}

/** A face that can be compared. */
export interface Comparable {
  readonly name: string
  readonly embedding: Float32Array
}

/** Fills both lists with the faces and says how similar the chosen two are. */
export function openComparison(
  first: HTMLSelectElement,
  second: HTMLSelectElement,
  result: HTMLElement,
): (faces: readonly Comparable[]) => void {
  let all: readonly Comparable[] = []
  const show = () => {
    const [a, b] = [all[first.selectedIndex], all[second.selectedIndex]]
    if (!a || !b) return
    const cosine = cosineOf(a.embedding, b.embedding)
    result.textContent = `${a.name} and ${b.name}: cosine ${cosine.toFixed(3)} (1 is the same expression to this network)`
  }
  for (const list of [first, second]) list.addEventListener('change', show)
  return faces => {
    all = faces
    for (const list of [first, second]) {
      const { selectedIndex } = list
      list.replaceChildren(...faces.map(({ name }) => element('option', name)))
      list.selectedIndex = selectedIndex
    }
    if (first.selectedIndex < 0) first.selectedIndex = 0
    if (second.selectedIndex < 0) second.selectedIndex = Math.min(1, faces.length - 1)
    show()
  }
}
