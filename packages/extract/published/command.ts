#!/usr/bin/env node
import { openLog, runStage, type Stage } from '@deepfever/core'
import { stages } from '../src/index.ts'

const PROGRAM = 'npx @deepfever/extract'
const HELP = `${PROGRAM} PHOTO… --model=FILE.onnx --out=features.parquet
${PROGRAM} similar QUERY --in=features.parquet
${PROGRAM} info FILE.onnx

The options of each: --help behind extract, similar or info.
`

const words = process.argv.slice(2)
const named = stages.find(({ name }) => name === words[0])
const stage = (named ?? stages[0]) as unknown as Stage
const stopping = new AbortController()
process.once('SIGINT', () => stopping.abort())
const form = process.env.DEEPFEVER_LOG
const log = openLog(process.stderr, form === 'text' || form === 'json' ? form : undefined)
const print = (text: string) => void process.stdout.write(text)
const terminal = { log, signal: stopping.signal, program: PROGRAM }
if (words.length === 0 || (!named && (words[0] === '--help' || words[0] === '-h'))) {
  print(HELP)
  process.exitCode = words.length === 0 ? 2 : 0
} else process.exitCode = await runStage(stage, named ? words.slice(1) : words, terminal, print)
