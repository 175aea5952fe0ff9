import {
  StageError,
  UsageError,
  defineStage,
  flag,
  number,
  optionalPath,
  text,
} from '@deepfever/core'
import { openFaces, openFolder } from '../face-set.ts'
import { probeOptions, runProbe } from './probe-stage.ts'

/** Linear probe on any pictures in folders named after their classes. */
export const folder = defineStage({
  name: 'eval folder',
  summary: 'linear probe of a frozen extractor on folders of classes',
  behaviour: 3,
  options: {
    ...probeOptions,
    source: optionalPath('folder with <class>/<picture> or <split>/<class>/<picture>'),
    faces: optionalPath(
      'faces artifact instead, with splits (made by: npx deepfever detect folder)',
    ),
    group: text({
      help: "pattern in file names that tells people apart, such as '^[^_]+'; all pictures of one stay together",
      standard: '',
    }),
    trainShare: number({
      help: 'share of the groups that trains, where the folder has no splits',
      standard: 0.5,
      min: 0.01,
      max: 0.99,
    }),
    balanced: flag({ help: 'weight rows by class' }),
  },
  async run(options, context) {
    const { source, faces, group, trainShare, seed, balanced } = options
    if ((source === '') === (faces === ''))
      throw new UsageError(
        `give one of --source and --faces: ${source ? 'both' : 'none'} given`,
        {},
      )
    const parting = { group, trainShare, seed: String(seed) }
    const faceSet = faces
      ? await openFaces(faces, parting)
      : await openFolder(source, parting, context.log)
    if (faceSet.classes === undefined)
      throw new StageError(`${faces}: its classes have no names; wanted faces of detect folder`, {
        path: faces,
      })
    return runProbe(options, context, faceSet, {
      title: `Probe of ${faceSet.classes.length} classes`,
      classes: faceSet.classes,
      testSplits: ['val', 'test'],
      balanced,
      beside: [],
    })
  },
})
