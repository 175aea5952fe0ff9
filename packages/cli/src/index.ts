import { openLog, nearest, runStage, type LogForm, type Stage } from '@deepfever/core'
import { rooms } from './rooms.ts'

/** Every stage, by its name on the command line. */
async function allStages(): Promise<readonly Stage[]> {
  const loaded = await Promise.all(Object.values(rooms).map(load => load()))
  // A room stands there once for each of its commands of one word.
  return [...new Set(loaded.flatMap(room => room.stages))]
}

function overview(stages: readonly Stage[]): string {
  const width = Math.max(...stages.map(stage => stage.name.length))
  return [
    'npx deepfever STAGE TARGET [options]',
    '',
    ...stages.map(stage => `  ${stage.name.padEnd(width)}  ${stage.summary}`),
    '',
    'npx deepfever STAGE TARGET --help lists the options of one.',
    '`npx nx run STAGE:TARGET -c smoke` runs the configured chain up to it.',
    '',
  ].join('\n')
}

function formOf(value: string | undefined): LogForm | undefined {
  return value === 'text' || value === 'json' ? value : undefined
}

/**
 * Runs one command. The log goes to standard error; DEEPFEVER_LOG=text|json fixes its form.
 *
 * @param argv what follows the program's name
 * @returns the exit code: 0 done or up to date, 1 failed, 2 wrong usage
 */
export async function main(argv: readonly string[]): Promise<number> {
  const print = (text: string) => void process.stdout.write(text)
  const fail = (message: string) => {
    process.stderr.write(`${message}; see: npx deepfever --help\n`)
    return 2
  }
  const [room, target, ...rest] = argv
  if (room === undefined || room === '--help' || room === '-h') {
    print(overview(await allStages()))
    return room === undefined ? 2 : 0
  }
  const load = Object.hasOwn(rooms, room) ? rooms[room] : undefined
  if (!load) {
    const near = nearest(room, Object.keys(rooms))
    return fail(`unknown stage ${room}${near ? `; did you mean ${near}?` : ''}`)
  }
  const { stages } = await load()
  const oneWord = stages.find(({ name }) => name === room)
  if (!oneWord && (target === '--help' || target === '-h')) {
    print(overview(stages))
    return 0
  }
  const stage = oneWord ?? stages.find(({ name }) => name === `${room} ${target}`)
  if (!stage) {
    const targets = stages.map(({ name }) => name.slice(room.length + 1))
    const near = nearest(target ?? '', targets)
    return fail(
      `${room}: ${target === undefined ? 'no target given' : `unknown target ${target}`}` +
        `${near ? `; did you mean ${near}?` : `; targets: ${targets.join(', ')}`}`,
    )
  }
  const stopping = new AbortController()
  // The first Ctrl-C ends the run at its next item; the second ends the process.
  process.once('SIGINT', () => stopping.abort())
  const log = openLog(process.stderr, formOf(process.env.DEEPFEVER_LOG))
  return runStage(stage, oneWord ? argv.slice(1) : rest, { log, signal: stopping.signal }, print)
}
