import { defineStage, path } from '@deepfever/core'
import { openFaces } from '../face-set.ts'
import { probeOptions, runProbe } from './probe-stage.ts'
import { published } from './subject.ts'

/** RAF-DB basic, label - 1 as in its list file. */
const CLASSES = ['Surprise', 'Fear', 'Disgust', 'Happiness', 'Sadness', 'Anger', 'Neutral']

/** Linear probe on RAF-DB: plain rows, plain accuracy. */
export const raf = defineStage({
  name: 'eval raf',
  summary: 'linear probe of a frozen extractor on RAF-DB',
  behaviour: 4,
  options: { ...probeOptions, faces: path('faces artifact it is judged on') },
  async run(options, context) {
    return runProbe(options, context, await openFaces(options.faces), {
      title: 'RAF-DB probe, 7 classes',
      classes: CLASSES,
      testSplits: ['test'],
      balanced: false,
      beside: published(options.banner, 0.874, 3068, 'DeepFEVER student, table III'),
    })
  },
})
