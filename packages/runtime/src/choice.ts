// A door of its own: naming a backend does not load TensorFlow.js.
/**
 * What `openBackend` can be asked for. `auto`: native where it is built (the build with CUDA
 * first), else portable. `native`: the build for the CPU. `cuda`: the build for NVIDIA, on a GPU or
 * not at all. `portable`: WebAssembly.
 */
export const BACKENDS = ['auto', 'native', 'cuda', 'portable'] as const
