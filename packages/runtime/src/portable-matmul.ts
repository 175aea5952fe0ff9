import { tf } from './tensorflow.ts'

/**
 * Matrix products by the fast path of the wasm binary, which takes neither a transposed operand
 * nor a batch: operands are transposed first, and a batch becomes a product an entry.
 *
 * @param stock the kernel that wasm comes with
 */
export function matrixProduct(stock: tf.KernelConfig): tf.KernelConfig {
  return {
    ...stock,
    kernelFunc: params => {
      const a = params.inputs['a'] as tf.Tensor3D
      const b = params.inputs['b'] as tf.Tensor3D
      const { transposeA, transposeB } = params.attrs as {
        transposeA?: boolean
        transposeB?: boolean
      }
      const batch = a.shape[0]
      if (a.rank !== 3 || b.rank !== 3 || batch !== b.shape[0] || a.dtype !== 'float32')
        return stock.kernelFunc(params)
      if (!transposeA && !transposeB && batch === 1) return stock.kernelFunc(params)
      return tf.tidy(() => {
        const left = transposeA ? tf.transpose(a, [0, 2, 1]) : a
        const right = transposeB ? tf.transpose(b, [0, 2, 1]) : b
        if (batch === 1) return tf.matMul(left, right)
        const entry = (x: tf.Tensor3D, i: number) =>
          tf.slice(x, [i, 0, 0], [1, x.shape[1], x.shape[2]])
        const products = Array.from({ length: batch }, (_, i) =>
          tf.matMul(entry(left, i), entry(right, i)),
        )
        return tf.concat(products, 0)
      })
    },
  }
}
