import { ShapeError } from '@deepfever/core'

/** How one class fares; a rate without a denominator is null. */
export interface ClassScore {
  readonly name: string
  /** rows of this class */
  readonly support: number
  readonly precision: number | null
  readonly recall: number | null
  readonly f1: number | null
}

/** What a classifier got right. */
export interface ClassificationScore {
  readonly n: number
  readonly accuracy: number
  /** mean recall over the classes that occur */
  readonly balancedAccuracy: number
  /** rows: true class; columns: predicted class */
  readonly confusion: readonly (readonly number[])[]
  readonly classes: readonly ClassScore[]
}

/**
 * Accuracy, confusion matrix and rates by class.
 *
 * @param labels true classes, [n]
 * @param predicted predicted classes, [n]
 * @param names class names in label order
 * @throws ShapeError when the lengths differ or are 0, or a value is no class
 */
export function scoreClasses(
  labels: Int32Array,
  predicted: Int32Array,
  names: readonly string[],
): ClassificationScore {
  const n = labels.length
  if (n === 0 || predicted.length !== n) {
    throw new ShapeError(
      `${n} labels, ${predicted.length} predictions; both must be the same and above 0`,
      { found: predicted.length, wanted: n },
    )
  }
  const confusion = names.map(() => names.map(() => 0))
  labels.forEach((label, row) => {
    const cells = confusion[label]
    const guess = predicted[row]!
    if (cells?.[guess] === undefined) {
      throw new ShapeError(
        `row ${row} is of class ${label}, predicted as ${guess}; expected 0 to ${names.length - 1}`,
        { row, label, predicted: guess, classes: names.length },
      )
    }
    cells[guess]! += 1
  })
  const classes = names.map((name, k): ClassScore => {
    const hits = confusion[k]![k]!
    const support = sum(confusion[k]!)
    const guesses = sum(confusion.map(cells => cells[k]!))
    return {
      name,
      support,
      precision: ratio(hits, guesses),
      recall: ratio(hits, support),
      f1: ratio(2 * hits, support + guesses),
    }
  })
  const recalls = classes.flatMap(({ recall }) => (recall === null ? [] : [recall]))
  return {
    n,
    accuracy: sum(confusion.map((cells, k) => cells[k]!)) / n,
    balancedAccuracy: sum(recalls) / recalls.length,
    confusion,
    classes,
  }
}

const ratio = (part: number, whole: number): number | null => (whole === 0 ? null : part / whole)
const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0)
