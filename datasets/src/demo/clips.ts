import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { collectFfmpeg, findFfmpeg, readPicture, resizePicture } from '@deepfever/media'
import type { Ffmpeg, Picture } from '@deepfever/media'
import type { DemoFile } from './demo-file.ts'

const photos = fileURLToPath(new URL('../../demo/photos/', import.meta.url))
const FPS = 12
const SIZE = '480x360'

interface Shot {
  readonly name: string
  readonly photo: keyof typeof portraits
  readonly seconds: number
  /** as zoompan expressions: `on` counts the frames */
  readonly zoom: string
  /** where the middle of the view moves from the face, in pixels of the photograph */
  readonly x: string
  readonly y: string
  /** further filters, after the camera */
  readonly light: string
}

/** Of each photograph the row that the view begins with, and where in the view the face is. */
const portraits = {
  'astronaut.png': { top: 0, faceX: 225, faceY: 120 },
  'grace-hopper.jpg': { top: 80, faceX: 235, faceY: 175 },
} as const

const dusk = "hflip,eq=brightness='-0.3*t/3':eval=frame"
const flicker = "eq=brightness='0.15*sin(9*t)':contrast='1+0.3*sin(4*t)':eval=frame"

/** Camera paths: zooms, pans, turns, changes of light. */
const shots: readonly Shot[] = [
  ...shotsOf('astronaut.png', [
    ['astronaut-zoom', 4, '1.2+on/60', '0', '0', 'null'],
    ['astronaut-pan', 4, '1.6', '48-on*2', '0', 'eq=saturation=0.4'],
    ['astronaut-dusk', 3, '1.5', '0', '0', dusk],
  ]),
  ...shotsOf('grace-hopper.jpg', [
    ['hopper-zoom', 4, '1.8-on/80', '0', '0', 'null'],
    ['hopper-turn', 5, '1.15', '0', '20-on', "rotate='0.15*sin(t)'"],
    ['hopper-flicker', 3, '1.4', '30', '0', flicker],
  ]),
]

function shotsOf(
  photo: Shot['photo'],
  rows: readonly (readonly [string, number, string, string, string, string])[],
): Shot[] {
  return rows.map(([name, seconds, zoom, x, y, light]) => ({
    ...{ name, photo, seconds, zoom, x, y, light },
  }))
}

/**
 * Clips of the demonstration photographs, with a face in nearly every frame, and three that are
 * broken on purpose: an empty file, a text and a clip that lost its end.
 *
 * @throws StageError when there is no ffmpeg
 */
export async function* drawClips(ffmpeg?: Ffmpeg): AsyncGenerator<DemoFile> {
  const program = ffmpeg ?? (await findFfmpeg())
  const folder = await mkdtemp(join(tmpdir(), 'deepfever-demo-'))
  try {
    let last: Uint8Array = new Uint8Array(0)
    for (const shot of shots) {
      last = await film(shot, join(folder, `${shot.name}.mp4`), program)
      yield { path: `videos/${shot.name}.mp4`, bytes: last }
    }
    yield { path: 'videos/broken-empty.mp4', bytes: '' }
    yield { path: 'videos/broken-text.mp4', bytes: 'A text under the name of a clip.\n'.repeat(40) }
    // An MP4 keeps its index at the end: without it nothing can be decoded.
    yield { path: 'videos/broken-cut.mp4', bytes: last.subarray(0, Math.floor(last.length * 0.6)) }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Moves a camera of 4:3 over a photograph of any shape. */
async function film(shot: Shot, path: string, ffmpeg: Ffmpeg): Promise<Uint8Array> {
  const { top, faceX, faceY } = portraits[shot.photo]
  const photo = toLandscape(await readPicture(join(photos, shot.photo)), top)
  const frames = shot.seconds * FPS
  // Twice the size, since zoompan moves in whole pixels of its input.
  const { width, height, data } = await resizePicture(photo, photo.width * 2, photo.height * 2)
  const x = `${faceX * 2}+2*(${shot.x})-iw/zoom/2`
  const y = `${faceY * 2}+2*(${shot.y})-ih/zoom/2`
  const camera = `zoompan=z='${shot.zoom}':x='${x}':y='${y}':d=${frames}:s=${SIZE}:fps=${FPS}`
  await collectFfmpeg(
    [
      ...['-f', 'rawvideo', '-pixel_format', 'rgb24', '-video_size', `${width}x${height}`],
      ...[
        '-i',
        'pipe:0',
        '-vf',
        `${camera},${shot.light},format=yuv420p`,
        '-frames:v',
        `${frames}`,
      ],
      ...['-threads', '1', '-c:v', 'libx264', '-preset', 'ultrafast', '-crf', '23'],
      ...['-fflags', '+bitexact', '-flags:v', '+bitexact', '-map_metadata', '-1', '-y', path],
    ],
    { ffmpeg, name: shot.name, stdin: data },
  )
  return readFile(path)
}

/** The rows of a photograph from `top` on, in the proportions 4:3. */
function toLandscape({ width, height, data }: Picture, top: number): Picture {
  const rows = Math.min(height - top, Math.floor((width * 3) / 4))
  return { width, height: rows, data: data.subarray(width * top * 3, width * (top + rows) * 3) }
}
