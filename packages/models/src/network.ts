import type { Normalisation, Ops, Shape } from './ops.ts'

/**
 * How a fresh convolution begins: 'fan-in' normal with variance 2 / fan in (torchvision's DenseNet,
 * and every new layer here), 'fan-out' normal with variance 2 / fan out (its ResNet and
 * MobileNetV2), 'uniform' within 1 / sqrt(fan in) (torch's default, facenet-pytorch).
 */
export type ConvolutionStart = 'fan-in' | 'fan-out' | 'uniform'

/** A network written once: a function from a normalised image to named outputs. */
export interface Network<Output extends string = string> {
  readonly name: string
  /** the image without the batch axis, [channels, height, width]; NaN where any size will do */
  readonly input: Shape
  /** what turns RGB pixels 0..255 into this network's input */
  readonly normalisation: Normalisation
  /** by first part of the parameter's name; 'fan-in' for all others */
  readonly starts?: Readonly<Record<string, ConvolutionStart>>
  /** the names of the outputs, in order */
  readonly outputs: readonly Output[]
  /** runs the definition with an interpreter's operations */
  build<T>(ops: Ops<T>, image: T): Readonly<Record<Output, T>>
}

/** The same network at another input size. */
export function atSize<Output extends string>(
  network: Network<Output>,
  height: number,
  width: number = height,
): Network<Output> {
  return { ...network, input: [network.input[0]!, height, width] }
}
