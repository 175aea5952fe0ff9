import { tf } from './tensorflow.ts'

/**
 * Matrix products by the fast path of the wasm binary, which takes neither a transposed operand
 * nor a batch: operands are transposed first, and a batch becomes a product an entry.
 *
 * The right operand is always a copy. The binary keeps its packed form until the memory is freed,
 * under the memory's number alone: a second product with another shape of the same memory would
 * be computed with the first one's.
 *
 * @param stock the kernel that wasm comes with
 */
export const matrixProduct = (stock: tf.KernelConfig): tf.KernelConfig => ({
  ...stock,
  kernelFunc: params => {
    const a = params.inputs['a'] as tf.Tensor
    const b = params.inputs['b'] as tf.Tensor
    const attributes = params.attrs as { transposeA?: boolean; transposeB?: boolean }
    const { transposeA = false, transposeB = false } = attributes
    const batches = [a, b].map(x => x.shape.slice(0, -2))
    if (`${batches[0]}` !== `${batches[1]}` || a.dtype !== 'float32' || b.dtype !== 'float32')
      return stock.kernelFunc(params)
    return tf.tidy(() => {
      const left = transposeA ? transposed(a) : a
      const count = tf.util.sizeFromShape(batches[0]!)
      if (count !== 1) {
        const right = transposeB ? transposed(b) : b
        // Not unstack: the package's kernel for it copies the whole tensor for every entry.
        const [lefts, rights] = [left, right].map(x =>
          tf.split(tf.reshape(x, [count, ...x.shape.slice(-2)]), count),
        )
        const products = lefts!.map((entry, i) => tf.matMul(entry, rights![i]!))
        const product = tf.concat(products, 0)
        return tf.reshape(product, [...batches[0]!, ...product.shape.slice(-2)])
      }
      const right = copied(b)
      const inputs = { a: left, b: transposeB ? transposed(right) : right }
      const attrs = { ...params.attrs, transposeA: false, transposeB: false }
      return stock.kernelFunc({ ...params, inputs, attrs }) as tf.Tensor
    })
  },
})

// A slice has memory of its own, even of everything; transposing a row or column has not.
const copied = (x: tf.Tensor): tf.Tensor => tf.slice(x, 0, x.shape)

const transposed = (x: tf.Tensor): tf.Tensor => {
  const axes = x.shape.map((_, i) => i)
  return tf.transpose(x, [...axes.slice(0, -2), x.rank - 1, x.rank - 2])
}
