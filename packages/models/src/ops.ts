/** One size for both axes, or [height, width]. */
export type Pair = number | readonly [number, number]

/** Padding in pixels: one number, [height, width] on both sides, or [top, left, bottom, right]. */
export type Padding = Pair | readonly [number, number, number, number]

/** A value's size without the batch axis, PyTorch order: [channels, height, width] or [channels]. */
export type Shape = readonly number[]

/** A convolution; padding is with zeros. Defaults: stride 1, padding 0, groups 1, no bias. */
export interface Conv2d {
  readonly out: number
  readonly kernel: Pair
  readonly stride?: Pair
  readonly padding?: Padding
  /** 1, or the number of input channels (depthwise) */
  readonly groups?: number
  readonly bias?: boolean
}

/** A maximum over windows; padding never wins. `ceil`: a window may hang over the far edge. */
export interface MaxPool {
  readonly kernel: Pair
  readonly stride: Pair
  readonly padding?: Padding
  readonly ceil?: boolean
}

/** A mean over windows that lie wholly inside. */
export interface AvgPool {
  readonly kernel: Pair
  readonly stride: Pair
}

/** Pixel normalisation (x - mean) / std, one number a channel, in units of 0..255. */
export interface Normalisation {
  readonly mean: readonly number[]
  readonly std: readonly number[]
}

/**
 * The operations that networks are written in. `T` is an interpreter's value: a tensor, a node of
 * a graph, a shape. `name` is the PyTorch path of the module, so a convolution `trunk.conv` owns
 * the parameter `trunk.conv.weight`. An interpreter is an object of this type: a missing rule does
 * not compile.
 */
export interface Ops<T> {
  /** size without the batch axis; a size known only at run time is NaN */
  shape(x: T): Shape
  /** (x - mean) / std, channel by channel */
  normalise(x: T, by: Normalisation): T
  /** parameters `weight` [out, in / groups, kh, kw] and, with `bias`, `bias` [out] */
  conv2d(name: string, x: T, options: Conv2d): T
  /** parameters `weight`, `bias`, `running_mean`, `running_var`, each [channels] */
  batchNorm(name: string, x: T, options: { readonly eps: number }): T
  relu(x: T): T
  /** min(max(x, 0), 6) */
  relu6(x: T): T
  /** parameter `weight` [channels] */
  prelu(name: string, x: T): T
  maxPool(x: T, options: MaxPool): T
  avgPool(x: T, options: AvgPool): T
  /** mean over height and width: [channels, h, w] to [channels] */
  globalAveragePool(x: T): T
  /** along channels */
  concat(values: readonly T[]): T
  add(a: T, b: T): T
  scale(x: T, factor: number): T
  /** parameters `weight` [out, in] and, unless `bias` is false, `bias` [out] */
  dense(name: string, x: T, options: { readonly out: number; readonly bias?: boolean }): T
  /** over channels */
  softmax(x: T): T
  /** [channels, h, w] to a vector in the order of torch's permute(0, 3, 2, 1): w, h, channels */
  flatten(x: T): T
  /**
   * `values` joined along channels, batch norm, ReLU and a 1x1 convolution as one operation. Only an
   * interpreter that then keeps less for the backward pass has it; `denseBlock` composes it elsewhere.
   */
  denseInput?(
    names: { readonly norm: string; readonly conv: string },
    values: readonly T[],
    options: { readonly out: number; readonly eps: number },
  ): T
  /** nothing in evaluation; in training the caller's mask, values 0 or 1 / (1 - rate) */
  dropout(x: T, options: { readonly rate: number }): T
  /** gives `x` back; the value can be looked at under `name` when the interpreter is asked to */
  tap(name: string, x: T): T
}
