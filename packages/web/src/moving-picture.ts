/** Frames of a clip that are read a second, and the most of one clip. */
const RATE = 5
const MOST = 600

const eventOf = (video: HTMLVideoElement, name: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const stop = new AbortController()
    const { signal } = stop
    const end = (finish: () => void) => () => {
      stop.abort()
      finish()
    }
    video.addEventListener(name, end(resolve), { signal })
    const fail = () => reject(new Error('the browser cannot decode this clip'))
    video.addEventListener('error', end(fail), { signal })
  })

/** Shows a clip's moments one after the other in `video`; yields their time in seconds. */
export async function* momentsOfClip(
  video: HTMLVideoElement,
  file: Blob,
  signal: AbortSignal,
): AsyncGenerator<number> {
  const address = URL.createObjectURL(file)
  signal.addEventListener('abort', () => {
    video.removeAttribute('src')
    URL.revokeObjectURL(address)
  })
  const loaded = eventOf(video, 'loadeddata')
  video.srcObject = null
  video.src = address
  await loaded
  for (let i = 0; i < MOST; i++) {
    const seconds = i / RATE
    if (signal.aborted || seconds > video.duration) return
    if (i > 0) {
      const shown = eventOf(video, 'seeked')
      video.currentTime = seconds
      await shown
    }
    yield seconds
  }
}

/** Shows the camera in `video`; yields the time whenever the last moment has been read. */
export async function* momentsOfCamera(
  video: HTMLVideoElement,
  signal: AbortSignal,
): AsyncGenerator<number> {
  const stream = await navigator.mediaDevices.getUserMedia({
    video: { width: { ideal: 640 }, facingMode: 'user' },
  })
  const stop = () => stream.getTracks().forEach(track => track.stop())
  try {
    video.removeAttribute('src')
    video.srcObject = stream
    await video.play()
    const start = performance.now()
    while (!signal.aborted) {
      yield (performance.now() - start) / 1000
      await new Promise(requestAnimationFrame)
    }
  } finally {
    stop()
    video.srcObject = null
  }
}
