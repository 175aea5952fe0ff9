// tap: test/browser.test.ts covers src/report-page.ts src/report-style.ts src/report-faces.ts
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { encodeJpeg } from '@deepfever/media'
import t from 'tap'
import { noBrowser, openBrowser } from '../../../tools/chromium.ts'
import { evaluateProbe } from '../src/probe.ts'
import { renderReport } from '../src/report-page.ts'
import type { Report } from '../src/report.ts'
import { drawBlobs } from './blobs.ts'

const LONG = `${'a-very-long-folder-name/'.repeat(9)}<img src="http://leak.example/x">.jpg`
const CLASSES = ['Surprise', 'Fear', 'Disgust', 'Happiness', 'Sadness', 'Anger', 'Neutral', 'None']

async function drawPage(): Promise<string> {
  const { results: _, ...own } = await evaluateProbe({
    train: drawBlobs('train', 320, 12, 8),
    test: drawBlobs('test', 160, 12, 8),
    ...{ classes: CLASSES, C: 10_000, balanced: false, seed: 'page' },
    lost: Int32Array.of(0, 1),
  })
  const jpeg = await encodeJpeg({ width: 96, height: 96, data: new Uint8Array(27648).fill(120) })
  const face = (id: string) => ({ id, source: LONG, label: 'Surprise' })
  const report: Report = {
    ...{ report: 2, kind: 'probe', title: `Probe of ${LONG}`, banner: 'Drawn data', ...own },
    ...{ extractor: LONG, training: null, triplets: null },
    leakage: {
      ...{ tested: 160, leaked: 1 },
      examples: [{ test: LONG, train: LONG, bits: 3, likeness: 0.99 }],
    },
    mistakes: Array.from({ length: 5 }, (_, i) => ({
      ...{ ...face(`${LONG}#${i}`), predicted: 'Happiness', confidence: 0.97 },
      neighbours: [face('near'), face('near'), face('none')].map(one => ({ ...one, cosine: 0.9 })),
    })),
    ledger: { inputs: 170, outputs: 160, rejects: { no_face: { count: 10, example: LONG } } },
    configuration: { source: LONG, seed: 1 },
    digests: { model: 'a'.repeat(64), faces: 'b'.repeat(64) },
  }
  const ids = [...report.mistakes.map(({ id }) => id), 'near']
  return renderReport(report, new Map(ids.map(id => [id, jpeg])))
}

t.test(
  'the page fits a phone and a desktop, light and dark, and asks for nothing',
  { skip: noBrowser },
  async t => {
    const dir = t.testdir({ profile: {} })
    const page = join(dir, 'report.html')
    await writeFile(page, await drawPage())
    const { call, events, close } = openBrowser(join(dir, 'profile'))
    t.teardown(close)
    const { targetId } = await call('Target.createTarget', { url: 'about:blank' })
    const { sessionId } = await call('Target.attachToTarget', { targetId, flatten: true })
    const send = (method: string, params: object = {}) => call(method, params, String(sessionId))
    const evaluate = async (expression: string) => {
      const { result } = await send('Runtime.evaluate', { expression, returnByValue: true })
      return (result as { value: unknown }).value
    }
    for (const domain of ['Page', 'Network']) await send(`${domain}.enable`)
    const backgrounds = new Set<unknown>()
    for (const width of [360, 1280])
      for (const scheme of ['light', 'dark']) {
        const size = { width, height: 900, deviceScaleFactor: 1, mobile: width < 500 }
        await send('Emulation.setDeviceMetricsOverride', size)
        const features = [{ name: 'prefers-color-scheme', value: scheme }]
        await send('Emulation.setEmulatedMedia', { features })
        await send('Page.navigate', { url: pathToFileURL(page).href })
        const deadline = Date.now() + 20_000
        while ((await evaluate('document.readyState + location.protocol')) !== 'completefile:')
          if (Date.now() > deadline) throw new Error('the page did not load in 20 s')
        const where = `${width} px, ${scheme}`
        const over = 'document.documentElement.scrollWidth - document.documentElement.clientWidth'
        t.equal(await evaluate(over), 0, `${where}: no sideways scrolling`)
        const wide = `[...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll') &&
          e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 90)).join()`
        t.equal(await evaluate(wide), '', `${where}: nothing beyond the edge`)
        const pictures = '[...document.images].filter(i => i.naturalWidth === 96).length'
        t.equal(await evaluate(pictures), 15, `${where}: pictures are shown`)
        t.equal(await evaluate('document.scripts.length'), 0)
        backgrounds.add(await evaluate('getComputedStyle(document.body).backgroundColor'))
      }
    t.equal(backgrounds.size, 2, 'light and dark differ')
    const asked = events
      .filter(({ method }) => method === 'Network.requestWillBeSent')
      .map(({ params }) => String((params as unknown as { request: { url: string } }).request.url))
      .filter(url => !/^(file|data|about):/.test(url))
    t.same(asked, [], 'no request leaves')
  },
)
