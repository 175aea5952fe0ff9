import { defineStage } from '@deepfever/core'
import { probeOptions, runProbe } from './probe-stage.ts'
import { published } from './subject.ts'

/** RAF-DB basic, label - 1 as in its list file. */
const CLASSES = ['Surprise', 'Fear', 'Disgust', 'Happiness', 'Sadness', 'Anger', 'Neutral']

/** Linear probe on RAF-DB: plain rows, plain accuracy. */
export const raf = defineStage({
  name: 'eval raf',
  summary: 'linear probe of a frozen network on RAF-DB',
  behaviour: 1,
  options: probeOptions,
  run: (options, context) =>
    runProbe(options, context, {
      title: 'RAF-DB probe, 7 classes',
      classes: CLASSES,
      testSplits: ['test'],
      balanced: false,
      beside: published(options.banner, 0.874, 3068, 'DeepFEVER student, table III'),
    }),
})
