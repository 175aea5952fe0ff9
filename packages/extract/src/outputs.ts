import { FormatError, StageError } from '@deepfever/core'
import type { DescribedModel } from '@deepfever/models'

/** What a model says of one face. */
interface Said {
  readonly embedding: Float32Array
  readonly expression: Float32Array | undefined
  readonly fec: Float32Array | undefined
}

/** The outputs of a model by what they are. */
export interface ModelOutputs {
  readonly labels: readonly string[]
  /** outputs of a run over `count` faces, face by face */
  split(outputs: Readonly<Record<string, Float32Array>>, count: number): Said[]
}

interface OutputJson {
  /** what the output is, where its name does not say it */
  readonly is?: string
  /** what is still to be applied to it */
  readonly activation?: string
}

/**
 * Which output is the embedding, the expression and the FEC vector: by name, or by `is` in the
 * contract. `"activation": "softmax"` there says that probabilities are still to be made of logits.
 *
 * @throws FormatError when the labels are no texts
 */
export function readOutputs({ path, contract, form }: DescribedModel): ModelOutputs {
  const outputs = contract['outputs'] as Readonly<Record<string, OutputJson>>
  const { labels = [] } = contract
  if (!(Array.isArray(labels) && labels.every(label => typeof label === 'string')))
    throw new FormatError(`${path}: labels of its contract are no list of texts`, { path, labels })
  const nameOf = (what: string) =>
    Object.keys(outputs).find(name => (outputs[name]?.is ?? name) === what)
  const expression = nameOf('expression')
  const fec = nameOf('fec')
  const isRaw = expression !== undefined && outputs[expression]?.activation === 'softmax'
  return {
    labels: expression === undefined ? [] : labels,
    split(found, count) {
      const rowsOf = (name: string): Float32Array[] => {
        const values = found[name]
        if (values === undefined || values.length % count !== 0 || !values.every(Number.isFinite))
          throw new StageError(
            `${path}: output ${name} is ${values ? 'not finite' : 'missing'}, found ` +
              `${Object.keys(found).join(', ')}; mend its contract (the command info shows the file's outputs)`,
            { path, output: name, found: Object.keys(found) },
          )
        const width = values.length / count
        return Array.from({ length: count }, (_, i) => values.slice(i * width, (i + 1) * width))
      }
      const embeddings = rowsOf(form.output)
      const logits = expression === undefined ? undefined : rowsOf(expression)
      const fecs = fec === undefined ? undefined : rowsOf(fec)
      const width = logits?.[0]?.length ?? labels.length
      if (logits && width !== labels.length)
        throw new StageError(
          `${path}: output ${expression} has ${width} values, its contract ${labels.length} labels`,
          { path, found: width, wanted: labels.length },
        )
      return embeddings.map((embedding, i) => ({
        embedding,
        expression: isRaw ? softmax(logits![i]!) : logits?.[i],
        fec: fecs?.[i],
      }))
    },
  }
}

function softmax(logits: Float32Array): Float32Array {
  const most = logits.reduce((a, b) => Math.max(a, b), -Infinity)
  const raised = Array.from(logits, value => Math.exp(value - most))
  const sum = raised.reduce((a, b) => a + b, 0)
  return Float32Array.from(raised, value => value / sum)
}
