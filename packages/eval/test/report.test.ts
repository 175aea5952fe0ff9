// tap: test/report.test.ts covers src/report.ts src/report-page.ts src/report-style.ts src/report-faces.ts src/report-probe.ts src/report-parts.ts
import { html } from '@deepfever/core'
import t from 'tap'
import { evaluateProbe } from '../src/probe.ts'
import { renderReport } from '../src/report-page.ts'
import { encodeReport, type Report } from '../src/report.ts'
import { drawBlobs } from './blobs.ts'

const NASTY = '<img src=x onerror="alert(1)">.mp4'
const CLASSES = ['Surprise', 'Fear', 'Disgust', 'Happiness', 'Sadness', 'Anger', 'Neutral']

const evaluated = async () => {
  const { results: _, ...own } = await evaluateProbe({
    train: drawBlobs('train', 350, 12, 7),
    test: drawBlobs('test', 210, 12, 7),
    classes: CLASSES,
    C: 10_000,
    balanced: false,
    seed: 'report',
    lost: Int32Array.of(0, 1, 1),
  })
  return own
}

const aReport = async (): Promise<Report> => ({
  report: 2,
  kind: 'probe',
  extractor: `student ${NASTY}`,
  training: null,
  title: `RAF probe of ${NASTY}`,
  banner: 'Smoke: drawn data at tiny width; proves the chain only',
  ...(await evaluated()),
  triplets: null,
  leakage: {
    tested: 210,
    leaked: 1,
    examples: [{ test: NASTY, train: 'train/1.jpg', bits: 3, likeness: 0.991 }],
  },
  mistakes: [
    {
      ...{ id: `${NASTY}#0`, source: NASTY, label: 'Fear', predicted: 'Surprise' },
      confidence: 0.987,
      neighbours: [{ id: 'near', source: 'near.jpg', label: 'Surprise', cosine: 0.93 }],
    },
  ],
  ledger: {
    inputs: 230,
    outputs: 210,
    rejects: {
      'no-label': { count: 15, example: NASTY },
      'no-face': { count: 5, example: 'b.jpg' },
    },
  },
  configuration: { C: 10_000, checkpoint: NASTY, balanced: false },
  digests: { checkpoint: 'a'.repeat(64), faces: 'b'.repeat(64) },
})

t.test('a page escapes whatever files are called and asks for nothing', async t => {
  const page = renderReport(await aReport())
  t.notMatch(page, /<img/)
  t.match(page, '&lt;img src=x onerror=&quot;alert(1)&quot;&gt;.mp4')
  t.notMatch(page, /<script|https?:|src=["']|@import|url\(/i)
  t.match(page, "default-src 'none'")
  t.match(page, 'Smoke: drawn data at tiny width')
})

t.test('a page holds the headline, its interval, the table cells and the ledger', async t => {
  const report = await aReport()
  const page = renderReport(report)
  const shown = (value: number) => `${(100 * value).toFixed(1)} %`
  t.match(page, shown(report.headline.value!))
  t.match(page, /95 % interval [0-9.]+ to [0-9.]+ % \(bootstrap, 1000 resamples\), n = 210/)
  t.match(page, 'Accuracy, converged')
  for (const name of CLASSES) t.match(page, `<th scope="row">${name}</th>`)
  t.match(page, 'Rejected: no-label')
  t.match(page, 'a'.repeat(64))
  t.match(page, /whole split, without a face is wrong: [0-9.]+ %, 95 % interval .*n = 213/)
  t.match(page, /1 of 210 test faces have a near-duplicate in training/)
  t.match(page, /<b>Fear<\/b>, taken for <b>Surprise<\/b> at\s+98.7 %/)
})

t.test('a triplet page without a triplet says none and draws no tick', async t => {
  const { probe: _, ...rest } = await aReport()
  const none = { kind: 'all', n: 0, correct: 0, accuracy: null, missing: 3, leaked: 0 }
  const page = renderReport({
    ...rest,
    kind: 'triplets',
    banner: null,
    headline: { label: 'Triplet accuracy', value: null, n: 0, interval: null, note: '' },
    beside: [],
    probe: null,
    triplets: [none],
  })
  t.match(page, '<p class="number">none</p>')
  t.notMatch(page, /class="tick"|class="banner"|NaN|null|undefined/)
})

t.test('report.json holds the report and nothing else', async t => {
  const report = await aReport()
  t.same(JSON.parse(encodeReport(report)), report)
  t.equal(encodeReport(report), encodeReport(await aReport()), 'equal work gives equal bytes')
})

t.test('the template escapes text, joins lists and drops null', async t => {
  t.equal(
    String(html`<b title="${'"&'}">${['<', html`<i>1</i>`, 2, null, false]}</b>`),
    '<b title="&quot;&amp;">&lt;<i>1</i>2</b>',
  )
})
