// tap: test/page.test.ts covers src/*.ts
import { execFile } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join } from 'node:path'
import { promisify } from 'node:util'
import { extractFace, openDetector } from '@deepfever/faces'
import { collectFfmpeg, findFfmpeg, readPicture, type Picture } from '@deepfever/media'
import {
  STUDENT,
  exportModel,
  formulaWeights,
  studentNetwork,
  type Student,
} from '@deepfever/models'
import { openSession } from '@deepfever/runtime/onnx'
import t from 'tap'
import { noBrowser, openBrowser } from '../../../tools/chromium.ts'

const root = new URL('../../..', import.meta.url).pathname
const photo = join(root, 'datasets/demo/photos/astronaut.png')
const labels = ['neutral', 'happy', 'sad', 'surprise', 'fear', 'disgust', 'anger', 'contempt']

/** The student's kind at a hundredth of its width, with weights by formula. */
const tiny: Student = {
  ...STUDENT,
  backbone: { kind: 'densenet', growth: 4, blocks: [1, 2], stem: 8, bottleneck: 2 },
  embedding: 16,
}

/** The page as `nx run web:build` makes it, with the tiny student on board. */
async function buildPage(dir: string): Promise<Uint8Array> {
  const network = studentNetwork(tiny)
  const state = formulaWeights(network, 'page.')
  const { onnx, contract } = exportModel(network, state, { labels, licence: [] })
  await mkdir(join(dir, 'model'))
  await writeFile(join(dir, 'model/student.onnx'), onnx)
  const json = JSON.stringify({ file: 'student.onnx', ...contract })
  await writeFile(join(dir, 'model/contract.json'), json)
  const vite = join(root, 'node_modules/vite/bin/vite.js')
  const words = ['build', 'packages/web', '--configLoader', 'native', '--outDir', join(dir, 'page')]
  const env = { ...process.env, DEEPFEVER_MODEL: join(dir, 'model') }
  await promisify(execFile)('node', ['--import', 'tsx', vite, ...words], { cwd: root, env })
  return onnx
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.wasm': 'application/wasm',
}

/** A file server on loopback that remembers what it was asked for. */
async function serve(folder: string) {
  const asked: string[] = []
  const server = createServer((request, response) => {
    const path = new URL(request.url!, 'http://x').pathname
    asked.push(path)
    const file = join(folder, path === '/' ? 'index.html' : path)
    readFile(file).then(
      bytes => {
        const type = TYPES[extname(file)] ?? 'application/octet-stream'
        response.writeHead(200, { 'content-type': type }).end(bytes)
      },
      () => response.writeHead(404).end(),
    )
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const close = () => {
    server.close()
    server.closeAllConnections()
  }
  return { asked, address: `http://127.0.0.1:${port}/`, close }
}

interface Numbers {
  readonly box: readonly number[]
  readonly landmarks: readonly number[]
  readonly probability: number
  readonly expression: readonly number[]
  readonly embedding: readonly number[]
}

/** The same picture through the same code in Node. */
async function readInNode(picture: Picture, onnx: Uint8Array): Promise<Numbers[]> {
  const detector = await openDetector()
  const student = await openSession<'embedding' | 'expression'>(onnx, { threads: 1 })
  const faces: Numbers[] = []
  for (const { box, landmarks, probability } of await detector.detect(picture)) {
    const values = extractFace(picture, box).data
    const { expression, embedding } = await student.run({
      image: { shape: [1, 140, 140, 3], values },
    })
    const lists = { box, landmarks, expression: expression.values, embedding: embedding.values }
    const plain = Object.entries(lists).map(([name, list]) => [name, [...list]])
    faces.push({ probability, ...(Object.fromEntries(plain) as Omit<Numbers, 'probability'>) })
  }
  await Promise.all([detector.close(), student.close()])
  return faces
}

/** Two seconds of the photograph, as a clip and as what a camera would give. */
async function filmPhoto(dir: string): Promise<{ clip: string; camera: string }> {
  const [clip, camera] = [join(dir, 'clip.webm'), join(dir, 'camera.mjpeg')]
  const film = (...words: string[]) => {
    const still = ['-loop', '1', '-i', `file:${photo}`, '-frames:v', '20', '-r', '10']
    return findFfmpeg().then(ffmpeg => collectFfmpeg([...still, ...words], { ffmpeg, name: dir }))
  }
  await film('-vf', 'scale=320:320', '-pix_fmt', 'yuv420p', '-c:v', 'libvpx', `file:${clip}`)
  await film('-vf', 'scale=320:320', '-pix_fmt', 'yuvj420p', '-f', 'mjpeg', `file:${camera}`)
  return { clip, camera }
}

t.test(
  'the page reads photographs as Node does, clips and the camera, and asks for nothing after the first',
  { skip: noBrowser },
  async t => {
    const dir = t.testdir({ profile: {} })
    const onnx = await buildPage(dir)
    const site = await serve(join(dir, 'page'))
    t.teardown(site.close)
    const { clip, camera } = await filmPhoto(dir)
    const { call, events, close } = openBrowser(join(dir, 'profile'), [
      ...['--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream'],
      `--use-file-for-fake-video-capture=${camera}`,
    ])
    t.teardown(close)
    const { targetId } = await call('Target.createTarget', { url: 'about:blank' })
    const { sessionId } = await call('Target.attachToTarget', { targetId, flatten: true })
    const send = (method: string, params: object = {}) => call(method, params, String(sessionId))
    const evaluate = async <T>(expression: string) => {
      const answer = await send('Runtime.evaluate', { expression, returnByValue: true })
      return (answer['result'] as { value: T }).value
    }
    const until = async (pattern: RegExp) => {
      const deadline = Date.now() + 60_000
      for (;;) {
        const said = await evaluate<string>('document.getElementById("status")?.textContent ?? ""')
        if (pattern.test(said)) return said
        if (Date.now() > deadline) throw new Error(`the page says ${said}, wanted ${pattern}`)
        await new Promise(resolve => setTimeout(resolve, 50))
      }
    }
    const give = async (...files: string[]) => {
      const { root: page } = (await send('DOM.getDocument')) as { root: { nodeId: number } }
      const where = { nodeId: page.nodeId, selector: '#files' }
      const { nodeId } = await send('DOM.querySelector', where)
      await send('DOM.setFileInputFiles', { nodeId, files })
    }
    const drop = async (file: string) => {
      const where = 'document.getElementById("drop").getBoundingClientRect()'
      const [x, y] = await evaluate<[number, number]>(`(r => [r.x + 9, r.y + 9])(${where})`)
      const data = { items: [], files: [file], dragOperationsMask: 1 }
      for (const type of ['dragEnter', 'dragOver', 'drop'])
        await send('Input.dispatchDragEvent', { type, x, y, data })
    }
    const press = async (key: 'Tab' | 'Enter') => {
      const code = key === 'Tab' ? 9 : 13
      const text = key === 'Enter' ? '\r' : ''
      for (const type of ['keyDown', 'keyUp'])
        await send('Input.dispatchKeyEvent', { type, key, text, windowsVirtualKeyCode: code })
    }
    for (const domain of ['Page', 'Network', 'DOM', 'Log', 'Runtime'])
      await send(`${domain}.enable`)
    await send('Page.navigate', { url: site.address })
    await until(/^Ready/)
    t.ok(site.asked.includes('/models/student.onnx'), 'networks are fetched before any input')
    const before = { asked: site.asked.length, events: events.length }

    await give(photo)
    await until(/^Done. Faces read: 1\.$/)
    const [found, ...more] = await evaluate<string[]>(
      '[...document.querySelectorAll("[data-face]")].map(e => e.dataset.face)',
    )
    t.same(more, [])
    const face = JSON.parse(found!) as Numbers
    const [wanted] = await readInNode(await readPicture(photo), onnx)
    const off = (a: readonly number[], b: readonly number[]) =>
      Math.max(...b.map((value, i) => Math.abs(value - a[i]!)))
    t.ok(off(face.box, wanted!.box) < 1e-2, 'box within a hundredth of a pixel')
    t.ok(off(face.landmarks, wanted!.landmarks) < 1e-2, 'landmarks too')
    t.ok(Math.abs(face.probability - wanted!.probability) < 1e-4)
    t.ok(off(face.expression, wanted!.expression) < 1e-4, 'probabilities within 1e-4')
    t.ok(off(face.embedding, wanted!.embedding) < 1e-4, 'embedding within 1e-4')

    await give(photo, photo)
    await until(/^Done. Faces read: 2\.$/)
    const similarity = 'document.getElementById("similarity").textContent'
    t.match(await evaluate(similarity), /cosine 1\.000/, 'a face is like itself')

    await drop(photo)
    await until(/^Done. Faces read: 1\.$/)
    const named = 'document.querySelector("#first option:last-child").textContent'
    t.equal(await evaluate(named), 'Face 4, astronaut.png, 1 in the picture', 'dropped')

    const moments = () => evaluate<string[]>(MOMENTS)
    await give(clip)
    await until(/^Done. Faces read: (8|9|10)\.$/)
    t.same((await moments()).slice(0, 3), ['0.0', '0.2', '0.4'], 'five moments a second')

    await evaluate('document.getElementById("files").focus()')
    await press('Tab')
    t.equal(await evaluate('document.activeElement.id'), 'camera', 'by the keyboard alone')
    await press('Enter')
    await until(/^Camera: reading/)
    while ((await moments()).length < 3) await new Promise(resolve => setTimeout(resolve, 50))
    const live = 'document.querySelector("#now [data-face]").dataset.face'
    const seen = JSON.parse(await evaluate<string>(live)) as Numbers
    const width = seen.box[2]! - seen.box[0]!
    t.ok(Math.abs(width - ((face.box[2]! - face.box[0]!) * 320) / 512) < 8, `${width} pixels`)
    await press('Enter')
    await until(/^Camera stopped/)

    t.same(site.asked.slice(before.asked), [], 'the server hears nothing after the first input')
    const sent = events
      .slice(before.events)
      .filter(({ method }) => method === 'Network.requestWillBeSent')
      .map(({ params }) => (params!['request'] as { url: string }).url)
      .filter(url => !/^(blob|data):/.test(url))
    t.same(sent, [], 'nor does anyone else')
    const leak = `fetch("http://127.0.0.2:9/").then(() => "sent", e => e.name)`
    const answer = await send('Runtime.evaluate', { expression: leak, awaitPromise: true })
    t.equal((answer['result'] as { value: string }).value, 'TypeError')
    t.ok(
      events.some(({ params }) => JSON.stringify(params ?? {}).includes('Content Security Policy')),
      'the policy of the page is what stops it',
    )

    const backgrounds = new Set<unknown>()
    for (const width of [360, 1280])
      for (const scheme of ['light', 'dark']) {
        const size = { width, height: 900, deviceScaleFactor: 1, mobile: width < 500 }
        await send('Emulation.setDeviceMetricsOverride', size)
        const features = [{ name: 'prefers-color-scheme', value: scheme }]
        await send('Emulation.setEmulatedMedia', { features })
        const where = `${width} px, ${scheme}`
        const over = 'document.documentElement.scrollWidth - document.documentElement.clientWidth'
        t.equal(await evaluate(over), 0, `${where}: no sideways scrolling`)
        backgrounds.add(await evaluate('getComputedStyle(document.body).backgroundColor'))
        const shots = process.env['DEEPFEVER_SHOTS']
        if (!shots) continue
        const { data } = await send('Page.captureScreenshot', { captureBeyondViewport: true })
        await writeFile(join(shots, `${width}-${scheme}.png`), Buffer.from(String(data), 'base64'))
      }
    t.equal(backgrounds.size, 2, 'light and dark differ')
    const { nodes } = (await send('Accessibility.getFullAXTree')) as { nodes: AxNode[] }
    const unnamed = nodes.filter(
      ({ ignored, role, name }) =>
        !ignored && CONTROLS.includes(String(role?.value)) && !name?.value,
    )
    t.same(unnamed, [], 'every control and picture has a name')
  },
)

/** Seconds in the table of the timeline. */
const MOMENTS =
  '[...document.querySelectorAll("#timeline tbody td:first-child")].map(e => e.textContent)'

const CONTROLS = ['button', 'combobox', 'image', 'textbox', 'slider', 'Video']
interface AxNode {
  readonly ignored: boolean
  readonly role?: { readonly value: unknown }
  readonly name?: { readonly value: unknown }
}
