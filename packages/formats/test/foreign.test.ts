// tap: test/foreign.test.ts covers src/foreign/*.ts
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { deflateRawSync, crc32 } from 'node:zlib'
import { FormatError, openRandom, uniforms } from '@deepfever/core'
import t from 'tap'
import {
  decodeNpy,
  decodeSafetensors,
  decodeTorch,
  encodeNpy,
  encodeSafetensors,
  readTorch,
  readWeights,
  stateDictOf,
} from '../src/foreign/index.ts'
import type { StateDict, Tensor } from '../src/foreign/index.ts'

const files = join(import.meta.dirname, '../../../test/golden/files')
const golden = (name: string) => readFile(join(files, name))
const reference = JSON.parse(await readFile(join(files, 'files.json'), 'utf8')) as {
  tensors: Record<string, { shape: number[]; dtype: string; values: number[] }>
  npy: Record<string, { shape: number[]; values: (number | string)[] } | string>
}

const plain = (tensors: StateDict) =>
  Object.fromEntries(
    [...tensors].map(([key, { shape, dtype, values }]) => [
      key,
      { shape, dtype, values: Array.from(values as Float32Array, Number) },
    ]),
  )

t.test('zip and legacy torch files give every tensor, whatever its strides', async t => {
  for (const file of ['zip.pt', 'legacy.pt']) {
    const value = await readTorch(join(files, file))
    t.same(plain(stateDictOf(value, file)), reference.tensors, file)
  }
})

t.test('a checkpoint gives its state dict and the data around it', async t => {
  const value = await readTorch(join(files, 'nested.pt'))
  t.same(plain(stateDictOf(value, 'nested.pt')), reference.tensors)
  t.ok(value instanceof Map)
  if (value instanceof Map) t.match([value.get('epoch'), value.get('name')], [3, 'nested'])
  t.throws(() => stateDictOf(value, 'nested.pt', 'model'), {
    name: 'FormatError',
    message:
      'nested.pt: no dicts of tensors under the keys state_dict, epoch, lr, name; model is wanted',
  })
})

t.test('a file that names another Python global is refused by that name', async t => {
  await t.rejects(readTorch(join(files, 'hostile.pt')), {
    name: 'FormatError',
    message:
      /hostile\/data\.pkl: at byte 27: names the Python global posix\.system, .* nothing was run/,
  })
})

t.test('a cut-off file says so, wherever it is cut', async t => {
  await t.rejects(readTorch(join(files, 'truncated.pt')), {
    message: /cut off: the archive's directory/,
  })
  await t.rejects(readTorch(join(files, 'truncated-legacy.pt')), {
    message: /at byte \d+: cut off: \d+ bytes wanted, \d+ left/,
  })
  for (const file of ['zip.pt', 'legacy.pt']) {
    const bytes = await golden(file)
    const read: number[] = []
    for (let end = 0; end < bytes.length; end++) {
      try {
        decodeTorch(bytes.subarray(0, end), file)
        read.push(end)
      } catch (thrown) {
        if (!(thrown instanceof FormatError)) throw thrown
      }
    }
    t.same(read, [], `${file} is read at none of its ${bytes.length} shorter lengths`)
  }
})

t.test('a damaged file is read or refused, and never fails in another way', async t => {
  const random = openRandom('foreign/damage')
  let refused = 0
  for (const file of ['zip.pt', 'legacy.pt', 'reference.safetensors', 'label-u2.npy']) {
    const bytes = await golden(file)
    for (let trial = 0; trial < 400; trial++) {
      const damaged = Uint8Array.from(bytes)
      for (let n = 0; n < 3; n++) damaged[random.below(bytes.length)] = random.below(256)
      try {
        if (file.endsWith('.pt')) decodeTorch(damaged, file)
        else if (file.endsWith('.npy')) decodeNpy(damaged, file)
        else decodeSafetensors(damaged, file)
      } catch (thrown) {
        if (!(thrown instanceof FormatError)) throw thrown
        refused++
      }
    }
  }
  t.ok(refused > 400, `${refused} refused`)
})

/** A zip archive of deflated entries. */
function zipOf(entries: Record<string, Uint8Array>, declare = (size: number) => size): Buffer {
  const parts: Buffer[] = []
  const central: Buffer[] = []
  let at = 0
  for (const [name, data] of Object.entries(entries)) {
    const packed = deflateRawSync(data)
    const head = Buffer.alloc(30)
    head.writeUInt32LE(0x04034b50)
    head.writeUInt16LE(name.length, 26)
    const record = Buffer.alloc(46)
    record.writeUInt32LE(0x02014b50)
    record.writeUInt16LE(8, 10)
    record.writeUInt32LE(crc32(data), 16)
    record.writeUInt32LE(packed.length, 20)
    record.writeUInt32LE(declare(data.length), 24)
    record.writeUInt16LE(name.length, 28)
    record.writeUInt32LE(at, 42)
    parts.push(head, Buffer.from(name), packed)
    central.push(record, Buffer.from(name))
    at += 30 + name.length + packed.length
  }
  const directory = Buffer.concat(central)
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50)
  end.writeUInt16LE(central.length / 2, 10)
  end.writeUInt32LE(directory.length, 12)
  end.writeUInt32LE(at, 16)
  return Buffer.concat([...parts, directory, end])
}

const text = (value: string) =>
  Buffer.concat([Buffer.of(0x58, value.length, 0, 0, 0), Buffer.from(value)])
const global = (module: string, name: string) => Buffer.from(`c${module}\n${name}\n`)
const ints = (values: number[]) =>
  Buffer.concat([Buffer.from('('), ...values.map(n => Buffer.of(0x4b, n)), Buffer.from('t')])

/** The pickle `{'w': tensor}` of a view of storage 0, which has `count` floats. */
const pickleOf = (count: number, offset: number, shape: number[], strides: number[]) =>
  Buffer.concat([
    Buffer.from('\x80\x02}', 'latin1'),
    text('w'),
    global('torch._utils', '_rebuild_tensor_v2'),
    Buffer.from('(('),
    text('storage'),
    global('torch', 'FloatStorage'),
    text('0'),
    text('cpu'),
    Buffer.of(0x4b, count),
    Buffer.from('tQ'),
    Buffer.of(0x4b, offset),
    ints(shape),
    ints(strides),
    Buffer.of(0x89, 0x4e),
    Buffer.from('tRs.'),
  ])

t.test('deflated entries are read, and a wrong declared size is refused', async t => {
  const values = Float32Array.from(uniforms('foreign/deflated', 6))
  const entries = {
    'a/data.pkl': pickleOf(6, 1, [2, 2], [3, 1]),
    'a/data/0': new Uint8Array(values.buffer),
  }
  const tensor = stateDictOf(decodeTorch(zipOf(entries), 'a.pt'), 'a.pt').get('w')
  t.same(
    [...(tensor?.values ?? [])],
    [1, 2, 4, 5].map(i => values[i]),
  )
  t.throws(
    () =>
      decodeTorch(
        zipOf(entries, size => size + 1),
        'a.pt',
      ),
    {
      name: 'FormatError',
      message: /entry a\/data\.pkl holds \d+ bytes, \d+ are declared/,
    },
  )
  t.throws(
    () =>
      decodeTorch(
        zipOf(entries, () => 0xfffffff0),
        'a.pt',
      ),
    {
      message: /the entries ask for \d+ bytes, at most 2147483647 are read/,
    },
  )
})

t.test('a tensor that reaches outside its storage is refused', async t => {
  const data = new Uint8Array(24)
  const read = (pickle: Buffer) =>
    decodeTorch(zipOf({ 'a/data.pkl': pickle, 'a/data/0': data }), 'a.pt')
  t.throws(() => read(pickleOf(6, 1, [2, 3], [3, 1])), {
    name: 'FormatError',
    message: /a tensor \[2, 3\] reaches element 6 of storage 0, which has 6/,
  })
  t.throws(() => read(pickleOf(7, 0, [2], [1])), {
    message: 'a.pt: a/data/0 has 24 bytes, 7 float32 take 28',
  })
  t.throws(() => read(pickleOf(6, 0, [255, 255, 255, 255], [0, 0, 0, 0])), {
    message: /the tensors together take \d+ bytes, at most 2147483648 are read/,
  })
})

t.test('dicts that nest without end are refused', async t => {
  const endless = Buffer.concat([
    Buffer.from('\x80\x02}q\x00', 'latin1'),
    text('a'),
    Buffer.from('h\x00s.', 'latin1'),
  ])
  t.throws(() => decodeTorch(zipOf({ 'a/data.pkl': endless }), 'a.pt'), {
    name: 'FormatError',
    message: 'a.pt: dicts and lists nest more than 32 deep',
  })
})

const someTensors = (): Map<string, Tensor> =>
  new Map<string, Tensor>([
    ['b.weight', { shape: [2, 3], dtype: 'float32', values: Float32Array.from(uniforms('b', 6)) }],
    [
      'a.half',
      { shape: [5], dtype: 'float16', values: Float32Array.of(1.5, -0, 65504, 2 ** -24, NaN) },
    ],
    ['a.brain', { shape: [2], dtype: 'bfloat16', values: Float32Array.of(-3.140625, Infinity) }],
    ['steps', { shape: [], dtype: 'int64', values: BigInt64Array.of(-7n) }],
    ['empty', { shape: [0, 3], dtype: 'float64', values: new Float64Array(0) }],
    ['flags', { shape: [3], dtype: 'bool', values: Uint8Array.of(1, 0, 1) }],
  ])

t.test('safetensors come back as they were written, and equal input gives equal bytes', async t => {
  const bytes = encodeSafetensors(someTensors(), { format: 'pt', epoch: '3' })
  const turned = new Map([...someTensors()].reverse())
  t.same(encodeSafetensors(turned, { epoch: '3', format: 'pt' }), bytes)
  const { tensors, metadata } = decodeSafetensors(bytes, 'x.safetensors')
  t.same(plain(tensors), plain(someTensors()))
  t.same(
    [...metadata],
    [
      ['epoch', '3'],
      ['format', 'pt'],
    ],
  )
  const dir = t.testdir({ 'x.safetensors': Buffer.from(bytes) })
  t.same(plain(await readWeights(join(dir, 'x.safetensors'))), plain(someTensors()))
})

t.test('a file of the safetensors library is read', async t => {
  const { empty: _, ...wanted } = reference.tensors
  t.same(plain(decodeSafetensors(await golden('reference.safetensors'), 'r').tensors), wanted)
})

t.test('halves round to the nearest, ties to even', async t => {
  const values = Float32Array.of(
    2049,
    2051,
    65519,
    65520,
    2 ** -25,
    1.5 * 2 ** -24,
    1 + 2 ** -11,
    0.1,
  )
  const tensors = new Map<string, Tensor>([['h', { shape: [8], dtype: 'float16', values }]])
  const found = decodeSafetensors(encodeSafetensors(tensors), 'h').tensors.get('h')
  t.same([...(found?.values ?? [])], [2048, 2052, 65504, Infinity, 0, 2 ** -23, 1, 0.0999755859375])
})

t.test('safetensors with a hole, a cut-off end or a wrong shape are refused', async t => {
  const bytes = encodeSafetensors(
    new Map([['w', { shape: [2], dtype: 'float32', values: Float32Array.of(1, 2) }]]),
  )
  t.throws(() => decodeSafetensors(bytes.subarray(0, -3), 'w.safetensors'), {
    name: 'FormatError',
    message: /cut off: tensor w ends at byte 8 of the data, which has 5/,
  })
  const edit = (from: string, to: string) =>
    Buffer.from(Buffer.from(bytes).toString('latin1').replace(from, to), 'latin1')
  t.throws(() => decodeSafetensors(edit('[0,8]', '[1,8]'), 'w'), {
    message: /tensor w stands at bytes 1 to 8, expected 0 to 8/,
  })
  t.throws(() => decodeSafetensors(edit('F32', 'F31'), 'w'), {
    message: /tensor w has the type F31/,
  })
  t.throws(
    () =>
      encodeSafetensors(
        new Map([['w', { shape: [3], dtype: 'float32', values: Float32Array.of(1) }]]),
      ),
    { message: 'tensor w has 1 values, its shape [3] takes 3' },
  )
})

t.test('npy arrays of numbers and text of NumPy are read, pickled objects refused', async t => {
  for (const [file, wanted] of Object.entries(reference.npy)) {
    const bytes = await golden(file)
    if (typeof wanted === 'string') {
      t.throws(() => decodeNpy(bytes, file), {
        name: 'FormatError',
        message: /pickled Python objects/,
      })
      continue
    }
    const { shape, values } = decodeNpy(bytes, file)
    const found = Array.from(values as readonly (string | number)[], v =>
      typeof v === 'string' ? v : Number(v),
    )
    t.same({ shape, values: found }, wanted, file)
  }
})

t.test('npy arrays come back as they were written', async t => {
  const arrays = [
    { shape: [], values: ['7'] },
    { shape: [3], values: ['', 'Schön 😀', '-0.0634921'] },
    { shape: [2, 2], values: Float32Array.of(1, -2.5, NaN, 4) },
    { shape: [1, 2], values: BigInt64Array.of(1n, -2n) },
    { shape: [0], values: new Float64Array(0) },
  ]
  for (const array of arrays) {
    const bytes = encodeNpy(array)
    t.same(decodeNpy(bytes, 'x.npy'), array)
    t.throws(() => decodeNpy(bytes.subarray(0, 70), 'x.npy'), {
      message: /x\.npy: at byte \d+: cut off/,
    })
  }
})
