import type { OnnxConstant, OnnxNode } from '@deepfever/runtime/onnx'

/** Fewer values than this stay float32: the scales would cost as much as is saved. */
const LEAST = 1024

/**
 * The weights of convolutions and dense layers as uint8, one scale and zero point an output
 * channel, brought back to float32 by DequantizeLinear where they are read. Everything else,
 * arithmetic included, stays float32, so any runtime of opset 13 on takes it.
 */
export function quantiseWeights(
  nodes: readonly OnnxNode[],
  constants: readonly OnnxConstant[],
): { nodes: OnnxNode[]; constants: OnnxConstant[] } {
  const weights = new Set(
    nodes.filter(({ op }) => op === 'Conv' || op === 'Gemm').map(({ inputs }) => inputs[1]!),
  )
  const before: OnnxNode[] = []
  const small = constants.flatMap((constant): readonly OnnxConstant[] => {
    const { name, shape, values } = constant
    if (!weights.has(name) || !(values instanceof Float32Array) || values.length < LEAST)
      return [constant]
    const { levels, scales, zeros } = toLevels(values, shape[0]!)
    const parts: readonly OnnxConstant[] = [
      { name: `${name}.levels`, shape, values: levels },
      { name: `${name}.scale`, shape: [scales.length], values: scales },
      { name: `${name}.zero`, shape: [zeros.length], values: zeros },
    ]
    const inputs = parts.map(part => part.name)
    before.push({ op: 'DequantizeLinear', inputs, outputs: [name], attributes: { axis: 0 } })
    return parts
  })
  return { nodes: [...before, ...nodes], constants: small }
}

/** Each of `rows` rows over its own range, which always holds 0, so that 0 stays exactly 0. */
function toLevels(values: Float32Array, rows: number) {
  const span = values.length / rows
  const levels = new Uint8Array(values.length)
  const scales = new Float32Array(rows)
  const zeros = new Uint8Array(rows)
  for (let row = 0; row < rows; row++) {
    const from = values.subarray(row * span, (row + 1) * span)
    const low = from.reduce((least, value) => Math.min(least, value), 0)
    const high = from.reduce((most, value) => Math.max(most, value), 0)
    const scale = Math.fround((high - low) / 255) || 1
    const zero = Math.round(-low / scale)
    scales[row] = scale
    zeros[row] = zero
    from.forEach((value, i) => {
      levels[row * span + i] = Math.min(255, Math.max(0, Math.round(value / scale) + zero))
    })
  }
  return { levels, scales, zeros }
}
