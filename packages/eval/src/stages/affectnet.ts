import { choice, defineStage, path } from '@deepfever/core'
import { openFaces } from '../face-set.ts'
import { probeOptions, runProbe } from './probe-stage.ts'
import { published } from './subject.ts'

const CLASSES = ['Neutral', 'Happy', 'Sad', 'Surprise', 'Fear', 'Disgust', 'Anger', 'Contempt']
const PUBLISHED = { '8': 0.616, '7': 0.654 } as const

/** Linear probe on AffectNet: rows weighted by class, judged on the published validation set. */
export const affectnet = defineStage({
  name: 'eval affectnet',
  summary: 'linear probe of a frozen extractor on AffectNet',
  behaviour: 4,
  options: {
    ...probeOptions,
    faces: path('faces artifact it is judged on'),
    classes: choice({
      help: '7 leaves contempt out of both parts and fits again',
      choices: ['8', '7'],
      standard: '8',
    }),
  },
  async run(options, context) {
    const { classes, banner } = options
    return runProbe(options, context, await openFaces(options.faces), {
      title: `AffectNet probe, ${classes} classes`,
      classes: CLASSES.slice(0, Number(classes)),
      testSplits: ['val', 'test'],
      balanced: true,
      beside: published(banner, PUBLISHED[classes], null, 'DeepFEVER student, table I'),
    })
  },
})
