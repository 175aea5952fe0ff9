// Brings the gradients, which tfjs-core's build for Node leaves out.
import '@tensorflow/tfjs'

/** The one copy of TensorFlow.js that every backend registers with. Use functions, not chained ops. */
export * as tf from '@tensorflow/tfjs-core'
