import type { StateDict, Tensor } from '@deepfever/formats'
import { parametersOf, pNet } from '@deepfever/models'
import type { Network } from '@deepfever/models'

/** Channels after each convolution of P-Net. */
const FIRST = 10
const SECOND = 16
const THIRD = 32
/** Four offsets, and the logit of a face less that of none. */
const CELL_VALUES = 5
/** {@link FIRST} filled up with zeros: ONNX Runtime's blocked convolutions take multiples of 8. */
const PADDED = 16

/**
 * P-Net rewritten in operations that ONNX Runtime keeps in its blocked layout, where PReLU and a
 * softmax over channels are not: 0.8 of the time, equal up to rounding (2e-7). `cells` is
 * [5, h, w].
 *
 * - prelu(x) = a x + (1 - a) relu(x): two 1x1 convolutions, the last pair folded into the heads.
 * - Under the maximum pool a slope a < 0 reads max(x, a x), so both are pooled: max(p, q) = q +
 *   relu(p - q). Slopes above 1 take the sign along into the next convolution.
 * - A softmax of two is a sigmoid of their difference.
 *
 * @throws ShapeError when a weight of P-Net is missing or has another shape
 */
export function foldProposals(state: StateDict): {
  network: Network<'cells'>
  state: StateDict
} {
  const plain = parametersOf(pNet, state)
  const of = (name: string): Float32Array => plain.get(name)!
  const slopes = of('prelu1.weight')
  const falling = Array.from(slopes.keys()).filter(c => slopes[c]! < 0)
  const wide = FIRST + falling.length
  const source = (c: number) => (c < FIRST ? c : falling[c - FIRST]!)
  const factor = (c: number) => (c < FIRST ? 1 : slopes[source(c)]!)
  const sign = (c: number) => (slopes[c]! > 1 ? -1 : 1)
  const linear = (to: number, from: number): number => {
    if (to >= FIRST) return 0
    if (slopes[to]! >= 0) return from === to ? sign(to) * slopes[to]! : 0
    return from >= FIRST && source(from) === to ? 1 : 0
  }
  const bend = (to: number, from: number): number => {
    if (to >= FIRST) return 0
    if (slopes[to]! >= 0) return from === to ? Math.abs(1 - slopes[to]!) : 0
    return from === to ? 1 : -linear(to, from)
  }
  const second = of('prelu2.weight')
  const third = of('prelu3.weight')
  const head = (name: 'weight' | 'bias', out: number, from: number): number => {
    const width = name === 'weight' ? THIRD : 1
    if (out < 4) return of(`conv4_2.${name}`)[out * width + from]!
    return of(`conv4_1.${name}`)[width + from]! - of(`conv4_1.${name}`)[from]!
  }
  const kernel = of('conv1.weight')
  const middle = of('conv2.weight')
  const parameters: readonly [string, Tensor][] = [
    ['conv1.weight', fill([wide, 3, 3, 3], (o, i) => factor(o) * kernel[source(o) * 27 + i]!)],
    ['conv1.bias', fill([wide], o => factor(o) * of('conv1.bias')[source(o)]!)],
    ['linear1.weight', fill([PADDED, wide, 1, 1], linear)],
    ['bend1.weight', fill([PADDED, wide, 1, 1], bend)],
    [
      'conv2.weight',
      fill([SECOND, PADDED, 3, 3], (o, at) => {
        const from = Math.floor(at / 9)
        return from < FIRST ? sign(from) * middle[o * FIRST * 9 + at]! : 0
      }),
    ],
    ['conv2.bias', fill([SECOND], o => of('conv2.bias')[o]!)],
    ['linear2.weight', fill([SECOND, 1, 1, 1], o => second[o]!)],
    ['bend2.weight', fill([SECOND, 1, 1, 1], o => 1 - second[o]!)],
    ['conv3.weight', fill([THIRD, SECOND, 3, 3], (o, i) => of('conv3.weight')[o * 144 + i]!)],
    ['conv3.bias', fill([THIRD], o => of('conv3.bias')[o]!)],
    [
      'linear3.weight',
      fill([CELL_VALUES, THIRD, 1, 1], (o, i) => third[i]! * head('weight', o, i)),
    ],
    ['linear3.bias', fill([CELL_VALUES], o => head('bias', o, 0))],
    [
      'bend3.weight',
      fill([CELL_VALUES, THIRD, 1, 1], (o, i) => (1 - third[i]!) * head('weight', o, i)),
    ],
  ]
  return { network: networkOf(wide), state: new Map(parameters) }
}

function networkOf(wide: number): Network<'cells'> {
  return {
    name: 'pnet-folded',
    input: pNet.input,
    normalisation: pNet.normalisation,
    outputs: ['cells'],
    build(ops, image) {
      let x = ops.conv2d('conv1', image, { out: wide, kernel: 3, bias: true })
      x = ops.maxPool(x, { kernel: 2, stride: 2, ceil: true })
      x = ops.add(
        ops.conv2d('linear1', x, { out: PADDED, kernel: 1 }),
        ops.relu(ops.conv2d('bend1', x, { out: PADDED, kernel: 1 })),
      )
      x = ops.conv2d('conv2', x, { out: SECOND, kernel: 3, bias: true })
      x = ops.add(
        ops.conv2d('linear2', x, { out: SECOND, kernel: 1, groups: SECOND }),
        ops.conv2d('bend2', ops.relu(x), { out: SECOND, kernel: 1, groups: SECOND }),
      )
      x = ops.conv2d('conv3', x, { out: THIRD, kernel: 3, bias: true })
      return {
        cells: ops.add(
          ops.conv2d('linear3', x, { out: CELL_VALUES, kernel: 1, bias: true }),
          ops.conv2d('bend3', ops.relu(x), { out: CELL_VALUES, kernel: 1 }),
        ),
      }
    },
  }
}

/** A tensor whose element `rest` of row `row` is `value(row, rest)`. */
function fill(shape: readonly number[], value: (row: number, rest: number) => number): Tensor {
  const rows = shape[0]!
  const size = shape.slice(1).reduce((n, d) => n * d, 1)
  const values = new Float32Array(rows * size)
  for (let row = 0; row < rows; row++) {
    for (let rest = 0; rest < size; rest++) values[row * size + rest] = value(row, rest)
  }
  return { shape, dtype: 'float32', values }
}
