import { defineStage, flag, optionalPath } from '@deepfever/core'

import { buildNative } from './build.ts'

/** Builds the native backend; `nx run runtime:native`. */
export const nativeStage = defineStage({
  name: 'runtime native',
  summary: 'a current TensorFlow under TensorFlow.js, built once for this machine',
  behaviour: 1,
  options: {
    cuda: flag({
      help: 'the build with CUDA, several GB; needs an NVIDIA driver',
      role: 'execution',
    }),
    libtensorflow: optionalPath(
      "folder with TensorFlow's C library (lib) and headers (include) to use instead of a download",
    ),
    force: flag({ help: 'build again even where the build is up to date', role: 'execution' }),
  },
  run: ({ cuda, libtensorflow, force }, context) =>
    buildNative({ device: cuda ? 'cuda' : 'cpu', libtensorflow, force }, context),
})
