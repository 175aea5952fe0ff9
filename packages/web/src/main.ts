import { messageOf } from '@deepfever/core'
import { boxedPicture, drawBoxes, element, faceCard } from './face-card.ts'
import { fetchBytes, openFaceReader, type ReadFace } from './face-reader.ts'
import { momentsOfCamera, momentsOfClip } from './moving-picture.ts'
import { decodeFile, toPicture } from './pixels.ts'
import { openComparison, type Comparable } from './similarity.ts'
import { openStudent, type Student } from './student.ts'
import { drawTimeline, type Moment } from './timeline.ts'

const byId = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T
const status = byId('status')
const say = (text: string) => {
  status.textContent = text
}
/** Lets the page draw: a network's run holds its only thread. */
const breath = () => new Promise(resolve => setTimeout(resolve))

/** The page: what is open, and what the visitor does. */
async function startPage(): Promise<void> {
  const files = byId<HTMLInputElement>('files')
  const camera = byId<HTMLButtonElement>('camera')
  const video = byId<HTMLVideoElement>('video')
  const faces: Comparable[] = []
  const compare = openComparison(byId('first'), byId('second'), byId('similarity'))
  const reader = await openFaceReader()
  let student: Student | undefined
  let running: AbortController | undefined

  const useStudent = (opened: Student, name: string) => {
    student = opened
    byId('model-name').textContent = `Model: ${name}`
    files.disabled = camera.disabled = false
    say('Ready.')
  }

  const showPicture = async (file: File) => {
    const bitmap = await decodeFile(file)
    const { width, height } = bitmap
    const found = await reader(toPicture(bitmap, width, height), student!)
    const group = element('section', '', 'picture')
    group.setAttribute('aria-label', file.name)
    const cards = element('div', '', 'cards')
    found.forEach((face, i) => {
      const name = `Face ${faces.length + 1}, ${file.name}, ${i + 1} in the picture`
      cards.append(faceCard(name, face, student!.labels))
      faces.push({ name, embedding: face.embedding })
    })
    group.append(boxedPicture(bitmap, { width, height }, found, file.name), cards)
    if (found.length === 0) group.append(element('p', `${file.name}: no face found.`))
    byId('faces-section').hidden = false
    byId('faces').prepend(group)
    byId('compare-section').hidden = faces.length < 2
    if (faces.length > 1) compare(faces)
    return found.length
  }

  /** Boxes over the moving picture, and the bars of the largest face. */
  const showMoment = (found: readonly ReadFace[], width: number, height: number) => {
    const boxes = byId<HTMLCanvasElement>('boxes')
    Object.assign(boxes, { width, height })
    drawBoxes(boxes.getContext('2d')!, found, 1)
    const cards = found.slice(0, 1).map(face => faceCard('Largest face', face, student!.labels))
    byId('now').replaceChildren(...(cards.length > 0 ? cards : [element('p', 'No face found.')]))
  }

  const follow = async (moments: AsyncIterable<number>, signal: AbortSignal) => {
    byId('timeline-section').hidden = byId('screen').hidden = false
    const seen: Moment[] = []
    for await (const seconds of moments) {
      if (signal.aborted) break
      const { videoWidth, videoHeight } = video
      const found = await reader(toPicture(video, videoWidth, videoHeight), student!)
      if (signal.aborted) break
      showMoment(found, videoWidth, videoHeight)
      const [largest] = found
      seen.push({ seconds, expression: largest?.expression })
      if (seen.length > 600) seen.shift()
      drawTimeline(byId('timeline'), seen, student!.labels)
      await breath()
    }
    return seen
  }

  /** Ends what runs, then does the next; a failure is said, and the page goes on. */
  const begin = async (what: string, job: (signal: AbortSignal) => Promise<string>) => {
    running?.abort()
    const own = (running = new AbortController())
    say(`${what}: reading.`)
    await breath()
    try {
      const end = await job(own.signal)
      if (running === own) say(end)
    } catch (thrown) {
      say(`${what}: ${messageOf(thrown)}`)
    }
  }

  const take = (list: readonly File[]) =>
    begin(list.length === 1 ? list[0]!.name : `${list.length} files`, async signal => {
      let count = 0
      for (const file of list) {
        if (signal.aborted) break
        if (file.type.startsWith('video/')) {
          const seen = await follow(momentsOfClip(video, file, signal), signal)
          count += seen.filter(({ expression }) => expression).length
        } else count += await showPicture(file)
        await breath()
      }
      return `Done. Faces read: ${count}.`
    })

  files.addEventListener('change', () => void take([...(files.files ?? [])]))
  const drop = byId('drop')
  for (const name of ['dragover', 'drop'])
    document.addEventListener(name, event => event.preventDefault())
  drop.addEventListener('drop', event => {
    const dropped = [...(event.dataTransfer?.files ?? [])]
    if (!files.disabled && dropped.length > 0) void take(dropped)
  })
  camera.addEventListener('click', () => {
    if (camera.textContent !== 'Use the camera') {
      running?.abort()
      return
    }
    camera.textContent = 'Stop the camera'
    const reset = () => {
      camera.textContent = 'Use the camera'
      // A clip may have begun in its place.
      byId('screen').hidden = !video.hasAttribute('src')
    }
    void begin('Camera', async signal => {
      await follow(momentsOfCamera(video, signal), signal)
      return 'Camera stopped.'
    }).finally(reset)
  })
  const model = byId<HTMLInputElement>('model')
  model.addEventListener('change', () => {
    const chosen = [...(model.files ?? [])]
    const onnx = chosen.find(({ name }) => name.endsWith('.onnx'))
    const contract = chosen.find(({ name }) => name.endsWith('.json'))
    void begin('Model', async () => {
      if (!onnx || !contract) throw new Error('choose the ONNX file and its contract.json together')
      const bytes = new Uint8Array(await onnx.arrayBuffer())
      useStudent(await openStudent(bytes, await contract.text()), onnx.name)
      return 'Ready.'
    })
  })

  byId<HTMLInputElement>('model').disabled = false
  try {
    const json = new TextDecoder().decode(await fetchBytes('models/contract.json'))
    useStudent(await openStudent(await fetchBytes('models/student.onnx'), json), 'of this site')
  } catch (thrown) {
    byId<HTMLDetailsElement>('own-model').open = true
    say(`No model yet (${messageOf(thrown)}). Choose an ONNX file and its contract.json.`)
  }
}

startPage().catch((thrown: unknown) => say(`The page cannot start: ${messageOf(thrown)}`))
