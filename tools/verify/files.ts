import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { FormatError, messageOf } from '@deepfever/core'
import { decodeNpy, decodeSafetensors, readTorch, stateDictOf } from '@deepfever/formats'
import type { StateDict, TensorValues } from '@deepfever/formats'
import { numberRow, textRow } from './row.ts'
import type { VerifyRow } from './row.ts'

interface Reference {
  readonly tensors: Readonly<
    Record<string, { shape: readonly number[]; dtype: string; values: readonly number[] }>
  >
  readonly pt: Readonly<Record<string, string>>
  readonly safetensors: Readonly<Record<string, string>>
  readonly npy: Readonly<
    Record<string, string | { shape: readonly number[]; values: readonly (number | string)[] }>
  >
}

/** Words of the message that a refusal must have, by the reason the reference gives. */
const refusals: Readonly<Record<string, RegExp>> = {
  'refused: names a global outside the allow list, runs nothing': /global posix\.system/,
  'refused: cut off': /cut off/,
  'refused: pickled objects': /pickled Python objects/,
}

/**
 * Reads every file of `folder` that its `files.json` names and compares shapes, types and values,
 * exactly, and the reasons of refusals.
 */
export async function verifyFiles(folder: string): Promise<VerifyRow[]> {
  const reference = JSON.parse(
    await readFile(join(folder, 'files.json'), 'utf8'),
  ) as unknown as Reference
  const rows: VerifyRow[] = []
  for (const [file, wanted] of Object.entries(reference.pt)) {
    const read = async () => {
      const path = join(folder, file)
      return stateDictOf(
        await readTorch(path),
        path,
        wanted.includes('state_dict') ? 'state_dict' : undefined,
      )
    }
    if (wanted.startsWith('refused')) rows.push(await refusalRow(file, wanted, read))
    else rows.push(...tensorRows(file, await read(), reference.tensors))
  }
  for (const file of Object.keys(reference.safetensors)) {
    const { empty: _, ...wanted } = reference.tensors
    const bytes = await readFile(join(folder, file))
    rows.push(...tensorRows(file, decodeSafetensors(bytes, file).tensors, wanted))
  }
  for (const [file, wanted] of Object.entries(reference.npy)) {
    const bytes = await readFile(join(folder, file))
    if (typeof wanted === 'string') {
      rows.push(await refusalRow(file, wanted, () => Promise.resolve(decodeNpy(bytes, file))))
      continue
    }
    const { shape, values } = decodeNpy(bytes, file)
    rows.push(textRow(`${file} shape`, shape.join(' x '), wanted.shape.join(' x ')))
    rows.push(
      Array.isArray(values)
        ? textRow(file, values.join(' '), wanted.values.join(' '))
        : numberRow(file, worst(values as TensorValues, wanted.values as number[]), 0, 0),
    )
  }
  return rows
}

function tensorRows(file: string, found: StateDict, wanted: Reference['tensors']): VerifyRow[] {
  const rows = [
    textRow(
      `${file} names`,
      [...found.keys()].sort().join(' '),
      Object.keys(wanted).sort().join(' '),
    ),
  ]
  for (const [key, { shape, dtype, values }] of Object.entries(wanted)) {
    const tensor = found.get(key)
    if (tensor === undefined) continue
    rows.push(
      textRow(`${file} ${key}`, describe(tensor.dtype, tensor.shape), describe(dtype, shape)),
      numberRow(`${file} ${key} values`, worst(tensor.values, values), 0, 0),
    )
  }
  return rows
}

async function refusalRow(
  file: string,
  wanted: string,
  read: () => Promise<unknown>,
): Promise<VerifyRow> {
  try {
    await read()
    return textRow(file, 'read', wanted)
  } catch (thrown) {
    const refused = thrown instanceof FormatError && refusals[wanted]?.test(thrown.message) === true
    return textRow(file, refused ? wanted : messageOf(thrown), wanted)
  }
}

const describe = (dtype: string, shape: readonly number[]): string =>
  `${dtype} [${shape.join(', ')}]`

function worst(found: TensorValues, wanted: readonly number[]): number {
  if (found.length !== wanted.length) return Infinity
  return wanted.reduce((max, value, i) => Math.max(max, Math.abs(Number(found[i]) - value)), 0)
}
